/**
 * Which paths a profile may name: here (mount point, passphrase file) and on a server (disk). The characters are
 * few on purpose: a server's path ends up in configuration files where % and newlines have a meaning.
 */

/** Why a value is not allowed, or null when it is. */
export type Rule = (value: string) => string | null

const characters = /^[A-Za-z0-9._+@=:,/-]*$/
const longest = 1000

/** Absolute, normalised, plain characters, not a directory name. */
const plainPath: Rule = (value) => {
  if (value === '') return 'is empty'
  if (value.startsWith('~')) return '~ is not expanded; write the path in full'
  if (/\$\{|\$\(|\$[A-Z]/.test(value)) return 'variables are not expanded; write the path in full'
  if (!value.startsWith('/')) return 'must be absolute (start with /)'
  if (value.length > longest) return `is longer than ${longest} characters`
  return badCharacter(value, characters) ?? notNormal(value)
}

const notNormal: Rule = (value) => {
  if (value === '/') return null
  if (value.split('/').some((part) => part === '..' || part === '.')) return 'must not contain . or .. parts'
  if (value.includes('//')) return 'must not contain //'
  return value.endsWith('/') ? 'must not end with /' : null
}

/** Names the first character that is not allowed, by its position, 1-based. */
export const badCharacter = (value: string, allowed: RegExp): string | null => {
  if (allowed.test(value)) return null
  const at = [...value].findIndex((char) => !allowed.test(char))
  if (at < 0) return 'has a character that is not allowed'
  const char = [...value][at] ?? ''
  const shown = /^[!-~]$/.test(char)
    ? char
    : `U+${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`
  return `has a character that is not allowed (${shown} at position ${at + 1})`
}

const inside = (path: string, trees: readonly string[]): string | undefined =>
  trees.find((tree) => path === tree || path.startsWith(`${tree}/`))

/** Trees the system lives from: mounting over them, or inside them, breaks the machine. */
const systemTrees = '/bin /boot /dev /etc /lib /lib32 /lib64 /proc /run /sbin /sys /usr'.split(' ')
/** Fine to mount inside, never over. */
const systemRoots = '/home /root /var /var/lib /var/log /var/cache /var/spool /tmp /var/tmp'.split(' ')

/** Where the vault appears on this machine. */
export const mountPoint: Rule = (value) => {
  const fault = plainPath(value)
  if (fault) return fault
  if (value === '/') return 'is the root of this machine'
  const tree = inside(value, systemTrees)
  if (tree) return `lies in ${tree}, which the system needs`
  return systemRoots.includes(value) ? `would hide everything in ${value}; use a directory of its own` : null
}

/** Server trees in which a file would be lost at reboot, or be something else than a file. */
const noDiskTrees = [...systemTrees, '/tmp', '/var/tmp', '/var/run']

/** The file on a server that holds one member. */
export const diskFile: Rule = (value) => {
  const fault = plainPath(value)
  if (fault) return fault
  if (value === '/') return 'is a directory'
  const tree = inside(value, noDiskTrees)
  if (tree === '/dev') return 'is in /dev; a block device is named with `device:`, by its stable name'
  if (tree === '/tmp' || tree === '/var/tmp') return `lies in ${tree}, which is emptied by the system`
  return tree ? `lies in ${tree}, which belongs to the system` : null
}

const stableNames = /^\/dev\/(disk\/by-(id|path|partuuid|partlabel)|mapper)\/[^/]+$/

/** A block device on a server: only under a name that means the same disk tomorrow. */
export const diskDevice: Rule = (value) => {
  const fault = plainPath(value)
  if (fault) return fault
  if (stableNames.test(value)) return null
  if (value.startsWith('/dev/disk/by-uuid/'))
    return 'by-uuid names a file system, and the encrypted disk has none'
  return value.startsWith('/dev/')
    ? 'may be another disk after a reboot; use its name under /dev/disk/by-id/ (`ls -l /dev/disk/by-id` there)'
    : 'is not a device'
}

/** A local file that holds a secret; any printable name, because it is only ever opened. */
export const localFile: Rule = (value) => {
  if (value === '') return 'is empty'
  if (value.startsWith('~')) return '~ is not expanded; write the path in full'
  if (!value.startsWith('/')) return 'must be absolute (start with /)'
  if (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(value)) return 'has a control character'
  if (value.length > longest) return `is longer than ${longest} characters`
  return value === '/' ? 'is a directory' : notNormal(value)
}

/** Whether `path` is `directory` or lies in it; both normalised. */
export const liesIn = (path: string, directory: string): boolean => inside(path, [directory]) !== undefined
