/**
 * What a profile says once it is checked: the shape every other layer works with. Sizes are bytes, durations
 * milliseconds. `load.ts` makes it from YAML with `schema.ts`; nothing else does.
 */

export type Redundancy = 'single' | 'raid1' | 'raid1c3' | 'raid1c4' | 'raid10'

/** How many members may be away and all data still be there. */
export const spareCopies: Readonly<Record<Redundancy, number>> = {
  single: 0,
  raid1: 1,
  raid1c3: 2,
  raid1c4: 3,
  raid10: 1,
}
export type Checksum = 'blake2' | 'sha256' | 'xxhash' | 'crc32c'

/** Where the passphrase comes from; exactly one. Never inline. */
export type PassphraseSource =
  | { readonly kind: 'prompt' }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'command'; readonly argv: readonly string[] }
  | { readonly kind: 'credential'; readonly name: string }

/** Cost of one passphrase guess. Default: cryptsetup's own argon2id default. */
export type Kdf =
  | {
      readonly algorithm: 'argon2id'
      readonly memoryBytes?: number
      readonly iterations?: number
      readonly threads?: number
    }
  | { readonly algorithm: 'pbkdf2'; readonly iterations: number }

/** The far disk: a file that cloudvault allocates in full, or a block device that is already there. */
export type Disk =
  | { readonly kind: 'file'; readonly path: string; readonly sizeBytes: number }
  | { readonly kind: 'device'; readonly path: string }

/** A port of the server that a link opens. */
interface Port {
  readonly port: number
  /** Host or address it is reached at; default: the host name SSH resolves to. */
  readonly address?: string
}

/** Addresses or CIDRs that may connect; empty: the address this machine's SSH connection comes from. */
interface Clients {
  readonly clients: readonly string[]
}

/** How bytes get from this kernel to the export. */
export type Link =
  | { readonly kind: 'ssh' }
  | ({ readonly kind: 'plain' } & Port & Clients)
  | ({ readonly kind: 'tls'; readonly auth: 'psk' | 'x509' } & Port & Clients)
  | ({ readonly kind: 'wireguard' } & Port)
  | ({ readonly kind: 'ipsec' } & Port & Clients)

export type LinkOf<Kind extends Link['kind']> = Extract<Link, { kind: Kind }>

/** Which firewall a server uses; nftables is also what is used where there is none. */
export type FirewallKind = 'nftables' | 'ufw' | 'iptables' | 'firewalld'

/** A member served by a machine that is reached over SSH. Today the only kind. */
export interface ServerMember {
  readonly kind: 'server'
  readonly name: string
  readonly provider: string
  /** Alias of ~/.ssh/config, or user@host[:port]. `ssh -G` resolves it. */
  readonly ssh: string
  /** "SHA256:…" of the host key; absent until the first provision pins it. */
  readonly hostKey?: string
  readonly disk: Disk
  readonly server: 'nbd-server' | 'nbdkit'
  readonly link: Link
  /** What the server must run before a port is opened; absent: whatever it runs. */
  readonly firewall?: FirewallKind
  /** Silence longer than this: go on without the member. Default 30 s mirrored, 300 s single. */
  readonly patienceMs: number
}

export type Member = ServerMember

export interface Profile {
  /** Absolute path of the file it was read from. */
  readonly path: string
  readonly version: 1
  readonly vault: string
  readonly mount: { readonly at: string; readonly owner?: string }
  readonly filesystem: {
    /** What is wanted of every block. */
    readonly redundancy: Redundancy
    /** What can be counted on: less than is wanted while a change is under way (record/job.ts). */
    readonly assured: Redundancy
    readonly checksum: Checksum
    /** Value of the mount option compress=, or null for none: "zstd:3". */
    readonly compress: string | null
  }
  readonly unlock: { readonly passphrase: PassphraseSource; readonly kdf?: Kdf }
  readonly members: readonly Member[]
  readonly allowSameProvider: boolean
}
