/**
 * Everything a lab makes is named after its id (namespaces, machines, cgroups, directories), so that a lab can be torn
 * down from its id alone, even when its owner died between making a thing and writing that down.
 */
import { existsSync, readFileSync, realpathSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

export type ServerName = 'fsn' | 'gra' | 'hel' | 'waw'

export const serverNames: readonly ServerName[] = ['fsn', 'gra', 'hel', 'waw']

/** Where the state of every lab of this machine is kept; gone after a reboot, like the labs themselves. */
export const registry = '/run/cloudvault-lab'

/** Registry entry of one lab: its state and its control socket (whose path must stay short). */
export const stateDir = (id: string): string => path.join(registry, id)

/** Scratch of one lab. Not in /tmp, which may be a small tmpfs; overlays need a real filesystem. */
export const scratchDir = (id: string): string => `/var/tmp/cloudvault-lab-${id}`

/** umid of the client, machine names, namespaces and cgroups all start like this. */
export const stem = (id: string): string => `cvlab-${id}`

/** Namespace that holds the bridge, the client's wires and the control connection. */
export const bridgeNamespace = (id: string): string => `${stem(id)}-net`

/** Namespace, machine name and cgroup of one server or of the bystander. */
export const machine = (id: string, name: string): string => `${stem(id)}-${name}`

/** Addresses repeat from lab to lab: each lab's bridge is alone in its namespace. */
export const net = {
  prefix: 24,
  bridge: '10.77.0.1',
  client: '10.77.0.2',
  bystander: '10.77.0.99',
  server: (index: number): string => `10.77.0.${11 + index}`,
} as const

/** Every machine has an IPv6 address too, known from its IPv4 one: 10.77.0.11 is also fd77::11. */
export const ipv6 = (address: string): string => `fd77::${address.split('.').at(-1) ?? ''}`

/** Bridge-side end of a machine's wire. */
export const port = (name: string): string => `p-${name}`

/** Where a client sits: its name, its address, its devices in the bridge's namespace. */
export interface Seat {
  readonly name: 'client' | 'laptop'
  readonly address: string
  /** A wire of its own for the lab's commands: cutting or renumbering the client's real link does not cut them. */
  readonly controlHost: string
  readonly controlClient: string
  /** The ends its kernel reads raw frames from, and the lab's end of the control wire. */
  readonly data: string
  readonly control: string
  readonly controlEnd: string
}

export const seats = {
  client: {
    name: 'client',
    address: net.client,
    controlHost: '10.78.0.1',
    controlClient: '10.78.0.2',
    data: 'uml-data',
    control: 'uml-ctl',
    controlEnd: 'control',
  },
  /** The same person's second machine. */
  laptop: {
    name: 'laptop',
    address: '10.77.0.3',
    controlHost: '10.79.0.1',
    controlClient: '10.79.0.2',
    data: 'uml2-data',
    control: 'uml2-ctl',
    controlEnd: 'control2',
  },
} as const satisfies Record<Seat['name'], Seat>

/** Fixed hardware addresses: a restarted machine is found at once, without waiting for stale ARP entries. */
export const mac = (address: string): string =>
  ['02', 'cf', ...address.split('.').map((part) => Number(part).toString(16).padStart(2, '0'))].join(':')

/** The checkout (or installed package) this file belongs to, with links resolved: the guest sees it under /host. */
export const repository = (): string => {
  let dir = path.dirname(fileURLToPath(import.meta.url))
  for (let up = 0; up < 6; up++) {
    const manifest = path.join(dir, 'package.json')
    if (existsSync(manifest) && readFileSync(manifest, 'utf8').includes('"name": "cloudvault"'))
      return realpathSync(dir)
    dir = path.dirname(dir)
  }
  throw new Error('the lab cannot find the package it belongs to')
}
