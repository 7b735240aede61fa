import { isJob } from './job.ts'
import type { RecordData } from './record.ts'
import { isRotation } from './rotation.ts'
import * as v from './validate.ts'

/**
 * Whether a file is a record, to its last field: half of one would be believed where it decides what is an old copy,
 * and would end in a crash somewhere else.
 */
export const isRecord = (data: unknown): data is RecordData =>
  v.object(data) &&
  data.schema === 'cloudvault.record/1' &&
  (data.phase === 'creating' || data.phase === 'created') &&
  ['vault', 'fsid', 'createdAt', 'provedAt'].every((key) => v.text(data[key])) &&
  v.whole(data.generation) &&
  v.object(data.members) &&
  Object.values(data.members).every(isMember) &&
  absentOr(data.open, isOpened) &&
  absentOr(data.resilver, isResilvering) &&
  absentOr(data.job, isJob) &&
  absentOr(data.rotation, isRotation) &&
  absentOr(data.epochs, listOf(isEpoch)) &&
  absentOr(data.rollbacks, listOf(isRollback)) &&
  absentOr(data.scrub, isScrub) &&
  absentOr(data.escrow, (escrow) => v.object(escrow) && v.text(escrow.at)) &&
  absentOr(data.keyring, (keyring) => v.object(keyring) && v.whole(keyring.changes)) &&
  absentOr(data.kit, (kit) => v.object(kit) && v.text(kit.path) && v.text(kit.at))

type Check = (value: unknown) => boolean

const absentOr = (value: unknown, check: Check): boolean => value === undefined || check(value)

const listOf =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check)

const isMember: Check = (member) =>
  v.object(member) &&
  v.whole(member.devid) &&
  v.text(member.deviceUuid) &&
  v.text(member.luksUuid) &&
  v.whole(member.sizeBytes) &&
  (member.resizingTo === undefined || v.whole(member.resizingTo)) &&
  v.whole(member.generation)

const isOpened: Check = (open) =>
  v.object(open) &&
  v.text(open.bootId) &&
  v.text(open.since) &&
  absentOr(open.readOnly, (flag) => flag === true) &&
  absentOr(open.crashed, (flag) => flag === true)

const isResilvering: Check = (resilver) =>
  v.object(resilver) &&
  listOf(v.text)(resilver.members) &&
  v.text(resilver.since) &&
  absentOr(resilver.phase, (phase) => ['mend', 'mirror', 'prove'].includes(phase as string))

const isEpoch: Check = (epoch) =>
  v.object(epoch) &&
  v.whole(epoch.n) &&
  v.whole(epoch.from) &&
  v.text(epoch.id) &&
  listOf(v.text)(epoch.members) &&
  absentOr(epoch.written, (flag) => flag === true)

const isRollback: Check = (rollback) =>
  v.object(rollback) && v.text(rollback.at) && v.whole(rollback.from) && v.whole(rollback.to)

const isScrub: Check = (scrub) =>
  v.object(scrub) &&
  (scrub.state === 'finished' || scrub.state === 'aborted') &&
  v.text(scrub.finishedAt) &&
  ['durationMs', 'bytes', 'corrected', 'uncorrectable'].every((key) => v.whole(scrub[key]))
