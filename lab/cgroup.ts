/**
 * One cgroup per server. Without it all containers of a machine without systemd share one tree, and each container's
 * systemd would count the others' processes as its own services'.
 */
import { mkdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

/**
 * Mount points of the hierarchies a container's systemd uses. cpuset is left out: a new group there takes nobody until
 * its CPUs are set.
 */
export const cgroupRoots = (): string[] =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => / - cgroup2? /.test(line) && !/,cpuset\b/.test(line))
    .map((line) => line.split(' ')[4] ?? '')
    .filter((mount) => mount.startsWith('/sys/fs/cgroup'))

/** Makes the group in every hierarchy that lets us, and returns the files a process writes itself into. */
export const makeCgroup = (name: string): string[] =>
  cgroupRoots().flatMap((root) => {
    try {
      mkdirSync(path.join(root, name), { recursive: true })
      return [path.join(root, name, 'cgroup.procs')]
    } catch {
      return []
    }
  })
