import fc from 'fast-check'
import { expect } from 'vitest'
import { Exit, Fault } from '../../src/fault.ts'
import type { LocalMachine, Output } from '../../src/host/host.ts'
import { Secret } from '../../src/host/secret.ts'
import { knownKeys } from '../../src/host/ssh/known.ts'
import { opensshArguments, proxyArgv } from '../../src/host/ssh/openssh.ts'
import { resolveSsh } from '../../src/host/ssh/resolve.ts'
import { keyringDiffers } from '../../src/keyring/guard.ts'
import { volumeKeyOf } from '../../src/keyring/keyring.ts'
import { parseSlots } from '../../src/keyring/slots.ts'
import { json } from '../../src/record/validate.ts'
import { listens } from '../../src/server/forwarding.ts'
import { checkIdentities, parseSuperblock } from '../../src/stack/btrfs.ts'
import { unreadableFolders } from '../../src/stack/damage.ts'
import { mappedFiles, mountsInside } from '../../src/stack/holders.ts'
import { headerDiffers, tableDiffers } from '../../src/stack/luks.ts'
import { parseMountinfo } from '../../src/stack/mount.ts'
import { parseReplace } from '../../src/stack/replace.ts'
import { parseScrub } from '../../src/stack/scrub.ts'
import { groupOf, unitOf } from '../../src/stack/stopping.ts'
import { expectPrintable, fuzz, printed } from './fuzz.ts'
import { bytesLike, changed, damaged } from './inputs.ts'
import * as said from './samples.ts'

/** What programs on this machine print about disks that a provider can write to, and about what people configured. */

/** A reason is shown in a Fault, which escapes it. */
const reason = (why: string | null): void => {
  if (why !== null) expectPrintable(printed(new Fault(Exit.trust, why)))
}

fuzz(
  'a superblock',
  damaged(said.superblock),
  (text) => {
    const found = parseSuperblock(text)
    if (!found) return
    for (const value of Object.values(found))
      if (typeof value === 'number') expect(Number.isSafeInteger(value) && value >= 0).toBe(true)
    checkIdentities({ fsn: found }, { fsid: '6f2b8c3e', members: {} })
  },
  2000,
)

fuzz('a scrub', damaged(said.scrub), (text) => {
  const { bytes, corrected, uncorrectable } = parseScrub(text)
  for (const value of [bytes, corrected, uncorrectable])
    expect(Number.isFinite(value) && value >= 0).toBe(true)
})

fuzz('a replacement', damaged(said.replace), (text) => {
  const state = parseReplace(text)
  if (state.is === 'running') expect(state.share >= 0 && state.share <= 1).toBe(true)
})

fuzz(
  'LUKS metadata',
  fc.oneof(changed(said.header), damaged(JSON.stringify(said.header)).map(json)),
  (metadata) => {
    reason(headerDiffers(metadata))
    reason(keyringDiffers(metadata, { algorithm: 'argon2id' }))
    for (const slot of parseSlots(metadata)) expectPrintable(slot.kdf)
  },
  4000,
)

fuzz('the kernel table of a mapping', damaged(said.table), (text) => void tableDiffers(text))

fuzz('a dumped volume key', bytesLike(Buffer.from(said.dump)), (bytes) => {
  expect(volumeKeyOf(bytes).reveal().length).toBe(64)
})

fuzz(
  '/proc: mounts, maps, cgroups, sockets',
  damaged(said.mountinfo, said.maps, said.cgroup, said.sockets),
  (text) => {
    parseMountinfo(text, '/vault/photos')
    mountsInside(text, '/vault/photos')
    mappedFiles(text)
    unitOf(text)
    const group = groupOf(text)
    expect(group === null || group > 1).toBe(true)
    listens(text, 10809)
  },
)

fuzz(
  'complaints of find about folders',
  damaged("find: '/vault/photos/a b': Input/output error\n"),
  unreadableFolders,
)

/** A machine on which every program prints the same. */
const saying = (output: Partial<Output>): LocalMachine =>
  ({
    name: 'here',
    run: async () => ({ code: 0, stdout: '', stderr: '', ...output }),
    runForSecret: async () => ({ code: 0, secret: new Secret(Buffer.from(output.stdout ?? '')), stderr: '' }),
  }) as unknown as LocalMachine

fuzz('ssh -G', damaged(said.sshConfig), async (stdout) => {
  const resolved = await resolveSsh(saying({ stdout }), 'vps-fsn', {
    HOME: '/root',
    SSH_AUTH_SOCK: '/run/agent',
  })
  expect(Number.isInteger(resolved.port) && resolved.port > 0 && resolved.port < 65536).toBe(true)
  const words = opensshArguments(resolved, '/var/lib/k', 'cv-photos-fsn', { type: 'ssh-ed25519' })
  expect(words.at(-2)).toBe('--')
  proxyArgv(resolved)
})

fuzz(
  'an SSH target',
  damaged('anna@storage.example:22', 'vps-fsn', '[2001:db8::7]:22', 'ssh://a@b:1'),
  async (target) => {
    const seen: string[][] = []
    const local = {
      ...saying({ stdout: said.sshConfig }),
      run: async ({ argv }: { argv: readonly string[] }) => {
        seen.push([...argv])
        return { code: 0, stdout: said.sshConfig, stderr: '' }
      },
    } as unknown as LocalMachine
    try {
      await resolveSsh(local, target, { HOME: '/root' })
    } finally {
      // Whatever it is, it stands behind the end of the options.
      for (const argv of seen) expect(argv.slice(0, -1)).toContain('--')
    }
  },
)

fuzz('known_hosts', damaged(said.knownHosts), async (stdout) => {
  const local = saying({ stdout })
  const resolved = await resolveSsh(saying({ stdout: said.sshConfig }), 'vps-fsn', { HOME: '/root' })
  const known = await knownKeys(local, resolved)
  for (const { fingerprint } of known.trusted) expect(fingerprint).toMatch(/^SHA256:/)
})
