/**
 * Takes a lab away, given nothing but its id: processes, mounts, namespaces, cgroups, files. Blocking on purpose, so
 * that the same code serves `stop()`, Ctrl-C, an exit handler and the sweep after a crash. Everything it does may be
 * repeated.
 */
import { readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { cgroupRoots } from './cgroup.ts'
import { execSync } from './exec.ts'
import { bridgeNamespace, scratchDir, stateDir, stem } from './names.ts'
import { allPids, pidsByArgument, signal, startOf } from './processes.ts'
import { allStates, isOwned } from './state.ts'

const pause = (ms: number): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

const namespacesOf = (id: string): string[] => {
  try {
    return readdirSync('/run/netns').filter((name) => name.startsWith(`${stem(id)}-`))
  } catch {
    return []
  }
}

/** User-Mode Linux carries our name in umid=, nspawn in --machine=; the rest lives in our namespaces. */
const processesOf = (id: string): number[] => {
  const named = allPids().filter((pid) => {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
      return (
        words.includes(`umid=${stem(id)}`) || words.some((word) => word.startsWith(`--machine=${stem(id)}-`))
      )
    } catch {
      return false
    }
  })
  const inside = namespacesOf(id).flatMap((namespace) =>
    execSync(['ip', 'netns', 'pids', namespace]).stdout.split('\n').filter(Boolean).map(Number),
  )
  return [...new Set([...inside, ...named])].filter((pid) => startOf(pid) !== '')
}

const killAll = (id: string): void => {
  for (let round = 0; round < 100; round++) {
    const pids = processesOf(id)
    if (pids.length === 0) return
    for (const pid of pids) signal(pid, 'SIGKILL')
    pause(round < 10 ? 20 : 100)
  }
}

/** Unmounts everything under `dir`, deepest first. */
const unmountUnder = (dir: string): void => {
  for (let round = 0; round < 50; round++) {
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .map((line) => line.split(' ')[4] ?? '')
      .filter((mount) => mount === dir || mount.startsWith(`${dir}/`))
      .reverse()
    if (mounts.length === 0) return
    for (const mount of mounts) execSync(['umount', mount])
    if (round > 5) pause(100)
  }
}

const removeTree = (dir: string): void => {
  try {
    for (const entry of readdirSync(dir, { withFileTypes: true }))
      if (entry.isDirectory()) removeTree(path.join(dir, entry.name))
    rmdirSync(dir)
  } catch {
    // A cgroup that is not empty yet, or gone already.
  }
}

const cgroupsOf = (id: string): string[] =>
  cgroupRoots().flatMap((root) => {
    try {
      return readdirSync(root)
        .filter((name) => name.startsWith(`${stem(id)}-`))
        .map((name) => path.join(root, name))
    } catch {
      return []
    }
  })

const removeCgroups = (id: string): void => {
  for (let round = 0; round < 30; round++) {
    const left = cgroupsOf(id)
    if (left.length === 0) return
    for (const cgroup of left) removeTree(cgroup)
    if (round > 0) pause(50)
  }
}

/** What is left of a lab, in words; empty when nothing is. */
export const remains = (id: string): string[] => [
  ...processesOf(id).map((pid) => `process ${pid}`),
  ...namespacesOf(id).map((name) => `namespace ${name}`),
  ...cgroupsOf(id).map((name) => `cgroup ${name}`),
  ...readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(scratchDir(id)))
    .map((line) => `mount ${line.split(' ')[4]}`),
]

/** Removes everything of the lab `id`. Returns what would not go, in words. */
export const tearDown = (id: string): string[] => {
  killAll(id)
  const names = namespacesOf(id).sort((a, b) =>
    a === bridgeNamespace(id) ? 1 : b === bridgeNamespace(id) ? -1 : 0,
  )
  for (const name of names) execSync(['ip', 'netns', 'del', name])
  unmountUnder(scratchDir(id))
  removeCgroups(id)
  const left = remains(id)
  // With something still mounted, removing files would reach through the mount.
  if (!left.some((line) => line.startsWith('mount'))) rmSync(scratchDir(id), { recursive: true, force: true })
  if (left.length === 0) rmSync(stateDir(id), { recursive: true, force: true })
  return left
}

/** Tears down every lab whose owner died. */
export const sweep = (log: (line: string) => void = () => {}): void => {
  for (const [id, state] of allStates()) {
    if (state !== null && isOwned(state)) continue
    if (state === null && pidsByArgument(`umid=${stem(id)}`).length > 0) continue
    log(`removing lab ${id}, whose owner is gone`)
    tearDown(id)
  }
}
