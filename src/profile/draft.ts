import type { Redundancy } from './profile.ts'
import { type Destination, parseDestination } from './rules/destination.ts'
import { parseDiskSize } from './units.ts'

/**
 * What can be made out of a profile that may still have faults: the rules in cross.ts look at this, so that they
 * speak in the same run as the faults of single values. Whatever is unreadable is simply absent.
 */

export interface DraftMember {
  readonly index: number
  readonly name?: string
  readonly provider?: string
  readonly ssh?: Destination
  readonly disk: Block
  readonly sizeBytes?: number
  /** Its kind, or undefined when it cannot be told. */
  readonly link: string | undefined
  /** What is written under the kind. */
  readonly settings: Block
}

export interface Draft {
  readonly root: Block
  readonly redundancy: Redundancy | undefined
  readonly allowSameProvider: boolean
  readonly members: readonly DraftMember[]
}

export type Block = Readonly<Record<string, unknown>>

/** The value as a block of keys; an empty one when it is something else. */
export const block = (value: unknown): Block =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Block) : {}

const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)

const redundancies: readonly string[] = ['single', 'raid1', 'raid1c3', 'raid1c4', 'raid10']

/** Mirrored as soon as there are two members: losing one provider must not lose data unless asked for. */
export const defaultRedundancy = (members: number): Redundancy => (members > 1 ? 'raid1' : 'single')

export const draftOf = (value: unknown): Draft => {
  const root = block(value)
  const members = Array.isArray(root.members) ? root.members.map(draftMember) : []
  const mirror = block(root.filesystem).mirror
  const known = typeof mirror === 'string' && redundancies.includes(mirror)
  return {
    root,
    redundancy: known
      ? (mirror as Redundancy)
      : mirror === undefined
        ? defaultRedundancy(members.length)
        : undefined,
    allowSameProvider: root.allow_same_provider === true,
    members,
  }
}

const draftMember = (value: unknown, index: number): DraftMember => {
  const member = block(value)
  const ssh = typeof member.ssh === 'string' ? parseDestination(member.ssh) : undefined
  const disk = block(member.disk)
  const size = typeof disk.size === 'string' ? parseDiskSize(disk.size) : undefined
  const [name, provider] = [text(member.name), text(member.provider)]
  return {
    index,
    ...(name ? { name } : {}),
    ...(provider ? { provider } : {}),
    ...(ssh && !('fault' in ssh) ? { ssh } : {}),
    disk,
    ...(size && 'value' in size ? { sizeBytes: size.value } : {}),
    link: member.link === undefined ? 'ssh' : (text(member.link) ?? kindIn(member.link)),
    settings: block(block(member.link)[kindIn(member.link) ?? '']),
  }
}

/** The one key of a block. */
const kindIn = (link: unknown): string | undefined => {
  const [kind, ...others] = Object.keys(block(link))
  return others.length === 0 ? kind : undefined
}
