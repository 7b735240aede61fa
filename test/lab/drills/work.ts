import { expect } from 'vitest'
import type { Lab } from '../../../lab/index.ts'
import { labProfile, nothingLeft, type VaultOptions, verb } from '../support.ts'

/** What people do with a vault while something happens to it, and how it is asked how it is. */

/** A provisioned, created vault "photos" that is up at /vault/photos. */
export const vaultUp = async (lab: Lab, options: VaultOptions = {}): Promise<void> => {
  await labProfile(lab, options)
  await fromNothing(lab)
}

/** The same on its first server alone, without a mirror. */
export const aloneUp = async (lab: Lab, options: VaultOptions = {}): Promise<void> => {
  await labProfile(lab, options)
  const both = await lab.client.readFile('/etc/cloudvault/photos.yaml')
  const alone = both.slice(0, both.indexOf('\n  - name: gra')).replace('mirror: raid1 ', 'mirror: single ')
  await lab.client.putFile('/etc/cloudvault/photos.yaml', `${alone}\n`, 0o600)
  await fromNothing(lab)
}

const fromNothing = async (lab: Lab): Promise<void> => {
  await verb(lab, ['provision', 'photos'])
  await verb(lab, ['create', 'photos', '--confirm', 'photos'])
  await verb(lab, ['up', 'photos'])
}

/** One on two servers with an album in it, and down: where drills begin and end that bring it up themselves. */
export const vaultAtRest = async (lab: Lab, options: VaultOptions = {}): Promise<void> => {
  await vaultUp(lab, options)
  await copyPhotos(lab)
  await verb(lab, ['down', 'photos'])
}

/** Up again, every file right, down again, and nothing left. @returns how many files */
export const stillWhole = async (lab: Lab): Promise<number> => {
  await verb(lab, ['up', 'photos'])
  const files = await everyFileIsRight(lab)
  await verb(lab, ['down', 'photos'])
  await nothingLeft(lab)
  return files
}

/** Every file is right when this server is the only one there is; the vault is down before and after. @returns how many */
export const rightAlone = async (lab: Lab, on: string): Promise<number> => {
  const others = lab.servers.filter((server) => server.name !== on)
  for (const server of others) await server.kill()
  const up = await verb(lab, ['up', 'photos', '--degraded=ro'])
  expect(up.stdout).toContain(on)
  const files = await everyFileIsRight(lab)
  await verb(lab, ['down', 'photos'])
  for (const server of others) await server.start()
  return files
}

/** `status --json`, parsed. */
export const status = async (lab: Lab) =>
  JSON.parse((await verb(lab, ['status', 'photos', '--json'])).stdout) as {
    readonly verdict: string
    readonly why: readonly string[]
    readonly next: readonly string[]
    readonly job?: {
      readonly kind: string
      readonly phase: string
      readonly progress?: { readonly phase: string; readonly share: number }
    }
    readonly totalBytes?: number
    readonly scrub?: {
      readonly state: string
      readonly nextAt?: string
      readonly history?: readonly unknown[]
    }
    readonly members: readonly {
      readonly name: string
      readonly mirror: string
      readonly link: { readonly state: string; readonly note?: string }
      readonly errors?: Readonly<Record<'read' | 'write' | 'flush' | 'corruption' | 'generation', number>>
    }[]
  }

/** Asks until the verdict is the wanted one. */
export const verdictBecomes = async (lab: Lab, wanted: string, seconds: number): Promise<void> => {
  let last = ''
  for (const end = Date.now() + seconds * 1000; Date.now() < end; ) {
    last = (await status(lab)).verdict
    if (last === wanted) return
    await new Promise((resolve) => setTimeout(resolve, 2000))
  }
  throw new Error(`the verdict is ${last} after ${seconds} s, not ${wanted}: ${await journal(lab)}`)
}

/** What the monitor said, on a client with the light init. */
export const journal = async (lab: Lab): Promise<string> =>
  (await lab.client.run('cat /run/cloudvault/photos/cv-photos-monitor.pid.log', { allowFail: true })).stdout

/** What the monitor has said since its journal was this. */
export const saidSince = async (lab: Lab, before: string): Promise<string> =>
  (await journal(lab)).slice(before.length)

/** Writes numbered files with fsync until told to stop; prints how many, and the longest wait in ms. */
const writer = `i=0; worst=0; rm -f /tmp/enough; run=$(date +%s)
while [ ! -e /tmp/enough ] && [ $i -lt 5000 ]; do
  i=$((i+1)); a=$(date +%s%N)
  dd if=/dev/urandom of=/vault/photos/f-$run-$i bs=8k count=1 conv=fsync status=none || { echo "error at $i"; exit 1; }
  b=$(( ($(date +%s%N) - a) / 1000000 )); [ $b -gt $worst ] && worst=$b
  sha256sum /vault/photos/f-$run-$i >> /tmp/sums
done; echo "$i $worst"`

/** Somebody writes file after file, each with fsync, while it happens. No write may fail. */
export const writeDuring = async (
  lab: Lab,
  what: () => Promise<void>,
): Promise<{ readonly files: number; readonly worstMs: number }> => {
  const running = lab.client.start(writer)
  await lab.client.run('sleep 2')
  try {
    await what()
  } finally {
    // Whoever went on writing after a failure would fill the empty mount point of the next test.
    await lab.client.run('touch /tmp/enough')
  }
  const ended = await running.wait()
  expect(`${ended.code} ${ended.stderr}`).toBe('0 ')
  const [files = 0, worstMs = 0] = ended.stdout.trim().split(' ').map(Number)
  return { files, worstMs }
}

/** Copies a tree of real files (the client's own /usr/share/doc) into the vault and notes their sums. @returns how many */
export const copyPhotos = async (lab: Lab, folder = 'album'): Promise<number> => {
  const script = `mkdir -p /vault/photos/${folder} && cp -r /usr/share/doc /vault/photos/${folder}/ && sync -f /vault/photos &&
    find /vault/photos/${folder} -type f -print0 | xargs -0 sha256sum > /tmp/new && cat /tmp/new >> /tmp/sums && wc -l < /tmp/new`
  return Number((await lab.client.run(script, { deadlineMs: 300_000 })).stdout)
}

/** Every file that was noted is there and right, read from the servers and not from memory. @returns how many */
export const everyFileIsRight = async (lab: Lab): Promise<number> => {
  await lab.client.run('echo 3 > /proc/sys/vm/drop_caches; sha256sum -c --quiet /tmp/sums', {
    deadlineMs: 300_000,
  })
  return Number((await lab.client.run('wc -l < /tmp/sums')).stdout)
}

/**
 * Waits until the kernel works for a btrfs command like this one, and kills that command, the verb that waits for it and
 * the monitor; not the shells around them.
 */
export const killWhile = async (lab: Lab, command: string): Promise<void> => {
  await movesWith(lab, command)
  await killMovers(lab, `|${command}`)
}

/** Kills verbs that move data, and the monitor, with SIGKILL; not the shells around them. @param more "|another pattern" */
export const killMovers = async (lab: Lab, more = ''): Promise<void> => {
  await lab.client.run(`for p in /proc/[0-9]*; do
    case "$(cat $p/comm 2>/dev/null)" in node*|btrfs) ;; *) continue;; esac
    tr '\\0' ' ' < $p/cmdline 2>/dev/null | grep -qE 'cloudvault.js (add-mirror|replace|redundancy|resume|key rotate|monitor)${more}' && kill -9 \${p#/proc/}
    done; true`)
}

/**
 * Waits until data has moved so far, but not all of it, and says how far. A vault that is growing and is not told to be,
 * or is called healthy, is a fault.
 */
export const movedTo = async (lab: Lab, share: number, seconds: number, phase?: string): Promise<number> => {
  let last: Partial<Awaited<ReturnType<typeof status>>> = {}
  for (const end = Date.now() + seconds * 1000; Date.now() < end; ) {
    last = await status(lab)
    if (last.job?.kind === 'add' && last.job.phase === 'move' && last.verdict === 'healthy') break
    const now = last.job?.progress
    if (now && now.share >= share && now.share < 1 && (phase ?? now.phase) === now.phase) return now.share
    await new Promise((resolve) => setTimeout(resolve, 1000))
  }
  throw new Error(`not seen to be at ${share}: ${JSON.stringify(last)}`)
}

/**
 * Waits until a program of cloudvault, or a btrfs command that the kernel works for, is there that looks like this: a
 * pattern, because btrfs cuts its own words to pieces while it reads them.
 */
export const movesWith = async (lab: Lab, command: string): Promise<void> => {
  await lab.client.run(
    `i=0; until pgrep -ax 'btrfs|node.*' | grep -q '${command}'; do i=$((i+1)); [ $i -lt 600 ] || { pgrep -a . ; exit 1; }; sleep 0.1; done`,
    { deadlineMs: 400_000 },
  )
}
