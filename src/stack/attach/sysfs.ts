/** What the kernel says about its NBD devices without being asked for anything: files under /sys/block. Never opens a device. */
import { access, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Exit, Fault } from '../../fault.ts'

export interface DeviceState {
  readonly exists: boolean
  /** It has a configuration. Its connection may be dead all the same: only a read with a deadline tells. */
  readonly connected: boolean
  /** The identifier it was attached with; null when it has none. */
  readonly backend: string | null
  readonly sizeBytes: bigint
  readonly readOnly: boolean
  /** "write back" when flushes are sent; "write through" when the kernel sends none. Empty when the device does not exist. */
  readonly writeCache: string
  /** Names of the block devices on top of it ("dm-0"). A mount does not appear here. */
  readonly holders: readonly string[]
}

const block = '/sys/block'
/** The kernel's own limit is far higher; nobody's machine has more. */
const maximumDevices = 4096

/** @param root where sysfs's block folder is; tests bring their own. */
export async function deviceState(index: number, root = block): Promise<DeviceState> {
  const folder = join(root, `nbd${index}`)
  const size = await line(join(folder, 'size'))
  const connected = (await line(join(folder, 'pid'))) !== null
  return {
    exists: size !== null,
    connected,
    backend: await line(join(folder, 'backend')),
    // The file counts sectors of 512 bytes, whatever the device's own block size is.
    sizeBytes: size === null || !/^\d+$/.test(size) ? 0n : BigInt(size) * 512n,
    readOnly: (await line(join(folder, 'ro'))) === '1',
    writeCache: (await line(join(folder, 'queue', 'write_cache'))) ?? '',
    holders: await readdir(join(folder, 'holders')).catch(() => []),
  }
}

/** The index of the connected device with this identifier, or null. */
export async function findByBackend(backend: string, root = block): Promise<number | null> {
  for (const index of await indices(root)) {
    const state = await deviceState(index, root)
    if (state.connected && state.backend === backend) return index
  }
  return null
}

/**
 * The lowest index nobody uses. Between looking and connecting somebody else may take it: then connecting says so (exit 6).
 * @param exclude indices given out already but not connected yet.
 * @throws Fault exit 3 when the module is not loaded (there is no device at all).
 */
export async function freeIndex(exclude: Iterable<number> = [], root = block): Promise<number> {
  const taken = new Set(exclude)
  const known = await indices(root)
  if (known.length === 0 && !(await exists('/sys/module/nbd')))
    throw new Fault(Exit.missing, 'the kernel module nbd is not loaded', { next: 'modprobe nbd max_part=0' })
  for (const index of known) {
    if (taken.has(index)) continue
    const state = await deviceState(index, root)
    if (!state.connected && state.holders.length === 0) return index
  }
  // All are in use: the kernel makes a device for an index it does not know yet.
  let next = (known.at(-1) ?? -1) + 1
  while (taken.has(next)) next++
  return next
}

async function indices(root: string): Promise<number[]> {
  const names = await readdir(root).catch(() => [])
  return names
    .flatMap((name) => /^nbd(\d{1,7})$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b)
    .slice(0, maximumDevices)
}

async function line(path: string): Promise<string | null> {
  try {
    return (await readFile(path, 'utf8')).trimEnd()
  } catch {
    return null
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
