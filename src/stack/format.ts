import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Action, Step } from '../engine/step.ts'
import { together } from '../engine/together.ts'
import { Exit, Fault } from '../fault.ts'
import { shellLine } from '../host/quote.ts'
import type { Secret } from '../host/secret.ts'
import { createKeyring, keyringArgv, unlockKeyring } from '../keyring/keyring.ts'
import { mapperPath } from '../names.ts'
import { type MemberRecord, type RecordData, writeRecord } from '../record/record.ts'
import { deviceState } from './attach/sysfs.ts'
import { checkBlank } from './blank.ts'
import { mkfsArgv, readSuperblock, type Superblock } from './btrfs.ts'
import { kernel } from './kernel.ts'
import { formatHeader, headerUuid, openLuks } from './luks.ts'
import { memberStack } from './order.ts'
import type { Supervisor } from './supervise.ts'
import type { Vault } from './vault.ts'

/**
 * The steps of `create`, and the only place that formats anything. They have no way down of their own: what they make
 * is a file here that the next create makes anew, and bytes on disks that were blank before.
 */

export interface NewKeyring {
  /** The passphrase of the first slot. */
  readonly passphrase: () => Promise<Secret>
  /** Given the vault key as soon as there is one. */
  readonly opened: (key: Secret) => void
}

export const formatSteps = (
  vault: Vault,
  supervisor: Supervisor,
  unfinished: RecordData | null,
  keyring: NewKeyring,
): Step[] => {
  const stacks = vault.profile.members.map((member) =>
    memberStack(vault, member, null, { supervisor, takeOver: false }),
  )
  const headers = stacks.map((stack) => header(vault, stack.member.name, stack.top, unfinished !== null))
  const opens = stacks.map((stack) => openLuks(vault, stack.member.name, [`header ${stack.member.name}`]))
  return [
    kernel(vault.local),
    ...stacks.flatMap((stack) => stack.steps),
    makeKeyring(
      vault,
      keyring,
      stacks.map((stack) => stack.top),
    ),
    ...headers,
    ...opens,
    filesystem(
      vault,
      opens.map((step) => step.name),
    ),
  ]
}

/** Formatting is never "already there": what an unfinished create left is made anew. */
const anew = async (): Promise<{ is: 'absent' }> => ({ is: 'absent' })

const makeKeyring = (vault: Vault, keyring: NewKeyring, needs: readonly string[]): Step => {
  const { keyring: path } = vault.paths
  const { kdf } = vault.profile.unlock
  return {
    name: 'keyring',
    needs,
    probe: anew,
    up: [
      {
        on: vault.local,
        text: `${shellLine(keyringArgv(path, kdf))}   < [secret]`,
        call: async () => {
          const passphrase = await keyring.passphrase()
          await mkdir(dirname(path), { recursive: true, mode: 0o700 })
          await createKeyring(vault.local, path, passphrase, kdf)
          keyring.opened(await unlockKeyring(vault.local, path, passphrase))
        },
      },
    ],
    down: [],
  }
}

/** @param again a create was cut off after it had found the disks blank: what is on them now is its own */
const header = (vault: Vault, member: string, attached: string, again: boolean): Step => {
  const path = vault.paths.header(member)
  const device = `/dev/nbd${vault.nbdIndex(member)}`
  const blank: Action = {
    on: vault.local,
    text: `cmp ${device} with zeros: the first and last 4 MiB and a sample between`,
    call: async () => {
      const { sizeBytes } = await deviceState(vault.nbdIndex(member))
      await checkBlank(vault.local, device, Number(sizeBytes), member)
    },
  }
  return {
    name: `header ${member}`,
    needs: [attached, 'keyring'],
    probe: anew,
    up: [
      ...(again ? [] : [blank]),
      { on: vault.local, command: { argv: ['mkdir', '-p', '-m', '0700', dirname(path)] } },
      { on: vault.local, command: { argv: ['rm', '-f', path] } },
      formatHeader(vault, member, path),
    ],
    down: [],
  }
}

const filesystem = (vault: Vault, needs: readonly string[]): Step => {
  const { vault: name, members, filesystem: wanted } = vault.profile
  const devices = members.map((member) => mapperPath(name, member.name))
  const { record } = vault.paths
  const begun = emptyRecord(name)
  return {
    name: 'filesystem',
    needs,
    probe: anew,
    up: [
      { on: vault.local, text: `write ${record}: creating`, call: () => writeRecord(record, begun) },
      {
        on: vault.local,
        command: { argv: mkfsArgv(name, wanted.redundancy, wanted.checksum, devices), deadline: 600_000 },
      },
      {
        on: vault.local,
        text: `write ${record}: who the members are`,
        call: async () => writeRecord(record, await identify(vault, begun)),
      },
    ],
    down: [],
  }
}

const emptyRecord = (vault: string): RecordData => ({
  schema: 'cloudvault.record/1',
  vault,
  phase: 'creating',
  createdAt: new Date().toISOString(),
  fsid: '',
  members: {},
  generation: 0,
  provedAt: '',
})

/** Reads back what mkfs made: filesystem, device ids and UUIDs are how members are known from now on. */
const identify = async (vault: Vault, begun: RecordData): Promise<RecordData> => {
  const found = await together(
    vault.profile.members.map(async ({ name }) => {
      const block = await readSuperblock(vault.local, mapperPath(vault.profile.vault, name), true)
      if (!block)
        throw new Fault(Exit.trust, `${name} does not give back what was written to it`, { member: name })
      return { name, block, record: await memberRecord(vault, name, block) }
    }),
  )
  return {
    ...begun,
    fsid: found[0]?.block.fsid ?? '',
    members: Object.fromEntries(found.map(({ name, record }) => [name, record])),
    generation: Math.max(...found.map(({ block }) => block.generation)),
  }
}

const memberRecord = async (vault: Vault, member: string, block: Superblock): Promise<MemberRecord> => ({
  devid: block.devid,
  deviceUuid: block.deviceUuid,
  luksUuid: await headerUuid(vault.local, vault.paths.header(member)),
  sizeBytes: Number((await deviceState(vault.nbdIndex(member))).sizeBytes),
  generation: block.generation,
})
