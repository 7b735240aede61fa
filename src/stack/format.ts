import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Action, Step } from '../engine/step.ts'
import { shellLine } from '../host/quote.ts'
import type { Secret } from '../host/secret.ts'
import { createKeyring, keyringArgv, unlockKeyring } from '../keyring/keyring.ts'
import { mapperPath } from '../names.ts'
import { type RecordData, writeRecord } from '../record/record.ts'
import { deviceState } from './attach/sysfs.ts'
import { checkBlank } from './blank.ts'
import { mkfsArgv } from './btrfs.ts'
import { keyringOf } from './home.ts'
import { identify } from './identify.ts'
import { kernel } from './kernel.ts'
import { formatHeader, openLuks } from './luks.ts'
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
    memberStack(vault, member, [], { supervisor, takeOver: false }),
  )
  const claimed = claim(
    vault,
    stacks.map((stack) => stack.top),
    unfinished !== null,
  )
  const headers = stacks.map((stack) => header(vault, stack.member.name, 'keyring'))
  const opens = stacks.map((stack) => openLuks(vault, stack.member.name, [`header ${stack.member.name}`]))
  return [
    kernel(vault.local),
    ...stacks.flatMap((stack) => stack.steps),
    claimed,
    makeKeyring(vault, keyring, claimed.name),
    ...headers,
    ...opens,
    filesystem(
      vault,
      opens.map((step) => step.name),
    ),
  ]
}

/**
 * The disks are looked at before anything here or there is written, keys included: whoever has lost a record and types
 * `create` must not lose the keys too. Then it is noted that they are ours to format.
 * @param again a create was cut off after it had found the disks blank: what is on them now is its own
 */
const claim = (vault: Vault, needs: readonly string[], again: boolean): Step => {
  const { record } = vault.paths
  return {
    name: 'blank disks',
    needs,
    probe: anew,
    up: [
      ...(again ? [] : vault.profile.members.map((member) => blank(vault, member.name))),
      {
        on: vault.local,
        text: `write ${record}: creating`,
        call: () => writeRecord(record, emptyRecord(vault.profile.vault)),
      },
    ],
    down: [],
  }
}

/** Looks whether the member's disk may be formatted. @throws Fault 5 when it is not blank */
export const blank = (vault: Vault, member: string): Action => {
  const device = `/dev/nbd${vault.nbdIndex(member)}`
  return {
    on: vault.local,
    text: `cmp ${device} with zeros: the first and last 4 MiB and a sample between`,
    call: async () => {
      const { sizeBytes } = await deviceState(vault.nbdIndex(member))
      await checkBlank(vault.local, device, Number(sizeBytes), member)
    },
  }
}

/** Formatting is never "already there": what an unfinished create left is made anew. */
const anew = async (): Promise<{ is: 'absent' }> => ({ is: 'absent' })

const makeKeyring = (vault: Vault, keyring: NewKeyring, needs: string): Step => {
  const { keyring: path } = vault.paths
  const { kdf } = vault.profile.unlock
  return {
    name: 'keyring',
    needs: [needs],
    probe: anew,
    up: [
      {
        on: vault.local,
        text: `${shellLine(keyringArgv(path, kdf))}   < [secret]`,
        call: async () => {
          const passphrase = await keyring.passphrase()
          await mkdir(dirname(path), { recursive: true, mode: 0o700 })
          await createKeyring(vault.local, path, passphrase, kdf)
          keyring.opened(await unlockKeyring(vault.local, keyringOf(vault), passphrase))
        },
      },
    ],
    down: [],
  }
}

/** The member's detached header, made anew. */
export const header = (vault: Vault, member: string, needs: string): Step => {
  const path = vault.paths.header(member)
  return {
    name: `header ${member}`,
    needs: [needs],
    probe: anew,
    up: [
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
  return {
    name: 'filesystem',
    needs,
    probe: anew,
    up: [
      {
        on: vault.local,
        command: { argv: mkfsArgv(name, wanted.redundancy, wanted.checksum, devices), deadline: 600_000 },
      },
      {
        on: vault.local,
        text: `write ${record}: who the members are`,
        call: async () => writeRecord(record, { ...emptyRecord(name), ...(await identify(vault)) }),
      },
    ],
    down: [],
  }
}

/** What is known of a vault before anything was made. */
export const emptyRecord = (vault: string): RecordData => ({
  schema: 'cloudvault.record/1',
  vault,
  phase: 'creating',
  createdAt: new Date().toISOString(),
  fsid: '',
  members: {},
  generation: 0,
  provedAt: '',
})
