import { setTimeout as sleep } from 'node:timers/promises'
import type { Step } from '../engine/step.ts'
import { Exit, Fault } from '../fault.ts'
import type { Host } from '../host/host.ts'
import type { Disk, Member } from '../profile/profile.ts'
import { readRecord, sizesOf, updateRecord } from '../record/record.ts'
import { cutFile, diskSize, growFile } from '../server/disk-size.ts'
import { deviceState } from '../stack/attach/sysfs.ts'
import { answers, reconnect } from '../stack/attach.ts'
import type { Link } from '../stack/link/link.ts'
import {
  committedSize,
  growFilesystem,
  mappingSize,
  type Shrinking,
  shrinkFilesystem,
  sizeDevice,
  sizeMapping,
} from '../stack/resize.ts'
import type { Vault } from '../stack/vault.ts'
import { inTurn } from './turn.ts'

/**
 * Another size for one member of a mounted vault, as steps that can be looked at. The record allows both sizes first and
 * one again last, so that whatever a kill leaves is taken by the next `up`, and finished by the same command. What is
 * larger is made larger first: no layer ever reaches beyond the one below it.
 */

export interface Resize {
  readonly vault: Vault
  readonly member: Member
  readonly link: Link
  readonly server: Host
  readonly devid: number
  readonly fromBytes: number
  readonly toBytes: number
  /** Writes the new size into the profile; null where it says none. */
  readonly profile: Step | null
  readonly shrinking: Shrinking
}

/** The steps in their order. */
export const resizeSteps = (resize: Resize): Step[] => {
  const { vault, member, devid, fromBytes, toBytes, profile } = resize
  const { name } = member
  const written = profile ? [profile] : []
  const mapping = sizeMapping(vault, name, toBytes)
  const device = sizeDevice(vault, name, toBytes)
  if (toBytes >= fromBytes) {
    const filesystem = growFilesystem(vault, name, devid, toBytes)
    return [
      note(resize),
      grown(resize),
      ...written,
      served(resize),
      device,
      mapping,
      filesystem,
      noted(resize),
    ]
  }
  const filesystem = shrinkFilesystem(vault, name, devid, toBytes, resize.shrinking)
  return [note(resize), filesystem, ...written, mapping, device, cut(resize), served(resize), noted(resize)]
}

/**
 * After a failure: when nothing but the note was made, the note goes too, and the vault is as it was.
 * @returns whether it is
 */
export const abandon = async (resize: Resize): Promise<boolean> => {
  const { vault, member, server, fromBytes, toBytes } = resize
  const begun =
    toBytes >= fromBytes
      ? (await diskSize(server, member)) !== fromBytes
      : (await committedSize(vault, member.name)) !== fromBytes
  if (begun || (await mappingSize(vault, member.name)) !== fromBytes) return false
  await updateMember(resize, fromBytes, undefined)
  return true
}

const updateMember = (
  { vault, member }: Resize,
  sizeBytes: number,
  resizingTo: number | undefined,
): Promise<void> =>
  updateRecord(vault.paths.record, (record) => {
    const known = record.members[member.name]
    if (!known) throw new Fault(Exit.missing, `the record does not know ${member.name}`)
    const { resizingTo: _, ...rest } = known
    const changed = { ...rest, sizeBytes, ...(resizingTo === undefined ? {} : { resizingTo }) }
    return { ...record, members: { ...record.members, [member.name]: changed } }
  })

const memberNow = async ({ vault, member }: Resize) =>
  (await readRecord(vault.paths.record))?.members[member.name]

const note = (resize: Resize): Step => {
  const { vault, member, fromBytes, toBytes } = resize
  return {
    name: `note ${member.name}`,
    needs: [],
    probe: async () =>
      sizesOf(await memberNow(resize)).includes(toBytes) ? { is: 'present' } : { is: 'absent' },
    up: [
      {
        on: vault.local,
        text: `write ${vault.paths.record}: ${member.name} may have ${fromBytes} or ${toBytes} bytes`,
        call: () => updateMember(resize, fromBytes, toBytes),
      },
    ],
    down: [],
  }
}

const noted = (resize: Resize): Step => {
  const { vault, member, toBytes } = resize
  return {
    name: `record ${member.name}`,
    needs: [],
    probe: async () =>
      sizesOf(await memberNow(resize)).every((size) => size === toBytes)
        ? { is: 'present' }
        : { is: 'absent' },
    up: [
      {
        on: vault.local,
        text: `write ${vault.paths.record}: ${member.name} has ${toBytes} bytes`,
        call: () => updateMember(resize, toBytes, undefined),
      },
    ],
    down: [],
  }
}

/** The disk on the server. A block device has its size already. */
const grown = (resize: Resize): Step => {
  const { member, server, toBytes } = resize
  return {
    name: `disk ${member.name}`,
    needs: [],
    probe: async () => {
      const size = await diskSize(server, member)
      if (size === toBytes) return { is: 'present', note: `${size} bytes` }
      return size < toBytes ? { is: 'absent' } : tooLarge(member.disk, size)
    },
    up: member.disk.kind === 'file' ? [growFile(server, member.disk, toBytes)] : [],
    down: [],
  }
}

const tooLarge = ({ path }: Disk, size: number) =>
  ({ is: 'differs', found: `${path} has ${size} bytes already` }) as const

/** Only when everything above it provably ends before the cut. */
const cut = (resize: Resize): Step => {
  const { vault, member, server, toBytes } = resize
  const { disk } = member
  if (disk.kind !== 'file') throw new Error('a block device is not cut from here')
  return {
    name: `disk ${member.name}`,
    needs: [],
    probe: async () =>
      (await diskSize(server, member)) === toBytes
        ? { is: 'present', note: `${toBytes} bytes` }
        : { is: 'absent' },
    up: [
      {
        on: vault.local,
        text: `read the superblock of ${member.name} back from its server: it ends at ${toBytes}`,
        call: () => proveEnd(resize),
      },
      cutFile(server, disk, toBytes),
    ],
    down: [],
  }
}

const proveEnd = async ({ vault, member, toBytes }: Resize): Promise<void> => {
  const { name } = member
  const ends = {
    filesystem: await committedSize(vault, name),
    mapping: await mappingSize(vault, name),
    device: Number((await deviceState(vault.nbdIndex(name))).sizeBytes),
  }
  const beyond = Object.entries(ends).filter(([, end]) => end > toBytes)
  if (beyond.length === 0) return
  throw new Fault(
    Exit.decide,
    `the disk is not cut: ${beyond.map(([layer, end]) => `its ${layer} ends at ${end}`).join(', ')}`,
    { member: name, stands: 'the disk is as it was' },
  )
}

/** How often the server is asked again before it is called silent, and the kernel before its connection is. */
const tries = 5
const looks = 20
const turnMs = 60_000

/**
 * The export serves the new size: a server looks at its disk when a connection begins. What went on over the old one
 * must be gone before; the monitor, which hears of its end too, waits for us.
 */
const served = (resize: Resize): Step => {
  const { vault, member, fromBytes, toBytes } = resize
  const grows = toBytes >= fromBytes
  let done = false
  return {
    name: `export ${member.name}`,
    needs: [],
    probe: async () => {
      const { sizeBytes } = await deviceState(vault.nbdIndex(member.name))
      // Growing, the device follows only when the export has been asked.
      return done || (grows && Number(sizeBytes) === toBytes) ? { is: 'present' } : { is: 'absent' }
    },
    up: [
      {
        on: vault.local,
        text: `fence the session of ${member.name}, netlink nbd RECONFIGURE with a connection that offers ${toBytes} bytes`,
        call: async () => {
          await serveAgain(resize)
          done = true
        },
      },
    ],
    down: [],
  }
}

const serveAgain = ({ vault, member, link, fromBytes, toBytes }: Resize): Promise<void> =>
  inTurn(vault, member.name, turnMs, async () => {
    for (let attempt = 1; ; attempt++) {
      try {
        await vault.fence(member.name)
        for (let look = 0; look < looks; look++) {
          if (await reconnect(vault, member, link, [toBytes])) return
          await sleep(250) // the kernel has not noticed yet that the old one ended
        }
        if (await answers(vault, member.name, [fromBytes, toBytes])) return
        throw new Fault(Exit.unreachable, 'the kernel does not give the old connection up', {
          member: member.name,
        })
      } catch (error) {
        if (!(error instanceof Fault) || error.exit !== Exit.unreachable || attempt === tries) throw error
        await sleep(1000)
      }
    }
  })
