import { basename, dirname } from 'node:path'
import { Exit, Fault } from '../fault.ts'
import { oneByOne, readIfThere, unwritable, writeAtomic } from '../host/files.ts'
import type { KnownEpoch } from './epoch.ts'
import type { Job } from './job.ts'
import type { Rotation } from './rotation.ts'
import { isRecord } from './shape.ts'
import { json } from './validate.ts'

/**
 * The record: what this client knows to be true of the vault, and the only thing that can tell an old copy of a disk
 * from the newest one. Written when the vault is created and every time `down` has proved what the servers hold.
 */

export interface MemberRecord {
  /** Btrfs device id and UUID inside the filesystem: who this member is, whatever a server serves. */
  readonly devid: number
  readonly deviceUuid: string
  /** UUID of its detached LUKS2 header. */
  readonly luksUuid: string
  /** Size of the export in bytes; an export of another size is refused before the kernel gets it. */
  readonly sizeBytes: number
  /** While a resize is under way: the size it is going to have. Until it is through, the export may have either. */
  readonly resizingTo?: number
  /** Superblock generation read back from the server at the last proof. */
  readonly generation: number
}

/** Sizes in bytes that an export may have: one, or two while a resize is under way. Empty: not known yet. */
export type Sizes = readonly number[]

/** @param member as the record knows it; undefined: it does not */
export const sizesOf = (member: MemberRecord | undefined): Sizes =>
  member === undefined
    ? []
    : [member.sizeBytes, ...(member.resizingTo === undefined ? [] : [member.resizingTo])]

export interface RecordData {
  readonly schema: 'cloudvault.record/1'
  readonly vault: string
  /** `creating` until the first proof: an unfinished create may be begun again, a finished one never. */
  readonly phase: 'creating' | 'created'
  readonly createdAt: string
  readonly fsid: string
  readonly members: Readonly<Record<string, MemberRecord>>
  /** Highest generation that was ever proved; anything lower on every member is a rollback. */
  readonly generation: number
  readonly provedAt: string
  /** Set while the vault is open. */
  readonly open?: Opened
  /** Members that missed writes, or may have: their copies are proved equal again only by a resilver. */
  readonly resilver?: Resilvering
  /** A change of members or redundancy that is under way. */
  readonly job?: Job
  /** New volume keys for all members, one after the other; `job` is the one that has its turn. */
  readonly rotation?: Rotation
  /** Every degraded writable mount began one, oldest first; see epoch.ts. */
  readonly epochs?: readonly KnownEpoch[]
  /** When an older state was accepted in the place of a proved one, and which. */
  readonly rollbacks?: readonly { readonly at: string; readonly from: number; readonly to: number }[]
  /** The last time every copy of everything was read. */
  readonly scrub?: {
    readonly state: 'finished' | 'aborted'
    readonly finishedAt: string
    readonly durationMs: number
    readonly bytes: number
    readonly corrected: number
    readonly uncorrectable: number
  }
  /** How often the keyring had been changed when it was last used or changed here: an older one is refused. */
  readonly keyring?: { readonly changes: number }
  readonly kit?: { readonly path: string; readonly at: string }
  /** When opaque copies of the kit were put on the servers. */
  readonly escrow?: { readonly at: string }
}

export interface Opened {
  /** Of the boot it was opened in; empty when it was opened for writing and never closed. */
  readonly bootId: string
  readonly since: string
  /** Nothing is written, so nothing has to be proved at the end. */
  readonly readOnly?: true
  /** Opened read-only over a state that a crash had left behind: that state is still not proved. */
  readonly crashed?: true
}

/** What a resilver has behind it; a member that misses writes anew sends it back to the start. */
export type ResilverPhase = 'mend' | 'mirror' | 'prove'

export interface Resilvering {
  readonly members: readonly string[]
  readonly since: string
  /** Where it was when it was last seen at work. Absent: not begun. */
  readonly phase?: ResilverPhase
}

/**
 * For error texts: the command that brings back one file that is damaged or gone.
 * @param kit where it was written last
 * @param file as it is called in the kit: "headers/fsn.luks"
 */
export const restoreCommand = (kit: string, file: string): string =>
  `cloudvault restore-kit ${kit} --only ${file}   (or wherever you keep the recovery kit)`

export const readRecord = async (path: string): Promise<RecordData | null> => {
  const text = await readIfThere(path)
  if (text === null) return null
  const data = json(text)
  if (!isRecord(data)) {
    throw new Fault(Exit.trust, `the vault's record ${path} is damaged`, {
      stands: 'nothing was contacted',
      next: `cloudvault restore-kit KIT.tar   (the recovery kit); without one: cloudvault discover ${basename(dirname(path))}`,
    })
  }
  return data
}

/** Of this process, in the order in which they were asked for. */
let changing: Promise<unknown> = Promise.resolve()

/**
 * Reads, changes, writes. Two members may fall silent in the same moment, and the monitor and a verb both write: one change
 * after the other, or the later one undoes the earlier.
 * @throws Fault 3 when there is no record, or it cannot be written
 */
export const updateRecord = (path: string, change: (record: RecordData) => RecordData): Promise<void> => {
  const changed = changing.then(() =>
    oneByOne(path, async () => {
      const record = await readRecord(path)
      if (!record) throw new Fault(Exit.missing, `the record ${path} vanished`)
      await writeRecord(path, change(record))
    }).catch((error: unknown) => {
      throw error instanceof Fault ? error : unwritable('the record', path, error)
    }),
  )
  changing = changed.catch(() => {})
  return changed
}

/** The record with members noted as ones that missed writes. What was mended of them before counts for nothing now. */
export const withStale = (record: RecordData, members: readonly string[]): RecordData => {
  if (members.length === 0) return record
  const all = [...new Set([...(record.resilver?.members ?? []), ...members])]
  return { ...record, resilver: { members: all, since: record.resilver?.since ?? new Date().toISOString() } }
}

/** Whether it was open for writing and never proved: the last commit may have reached one member only. */
export const wasCut = ({ open }: RecordData): boolean =>
  open !== undefined && (open.readOnly !== true || open.crashed === true)

/** The record without that note about one member. */
export const withoutStale = (record: RecordData, member: string): RecordData => {
  const { resilver, ...rest } = record
  const members = resilver?.members.filter((name) => name !== member) ?? []
  return resilver && members.length > 0 ? { ...rest, resilver: { ...resilver, members } } : rest
}

/** @throws Fault 3 when it cannot be written */
export const writeRecord = (path: string, record: RecordData): Promise<void> =>
  writeAtomic(path, `${JSON.stringify(record, null, 2)}\n`).catch((error: unknown) => {
    throw unwritable('the record', path, error)
  })
