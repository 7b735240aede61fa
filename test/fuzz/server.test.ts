import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, expect } from 'vitest'
import { perform } from '../../src/engine/action.ts'
import type { Step } from '../../src/engine/step.ts'
import type { Command, LocalMachine, Output } from '../../src/host/host.ts'
import { shellLine } from '../../src/host/quote.ts'
import type { RemoteHost } from '../../src/host/ssh.ts'
import type { ServerMember } from '../../src/profile/profile.ts'
import { vaultPaths } from '../../src/record/paths.ts'
import { applySteps, removeSteps } from '../../src/server/apply.ts'
import type { Home } from '../../src/server/carrier.ts'
import { fenceSession } from '../../src/server/fence.ts'
import { parseOsRelease, readPlatform } from '../../src/server/platform.ts'
import { ServerReceipt } from '../../src/server/receipt.ts'
import { releaseSession, showSession, takeSession } from '../../src/server/session.ts'
import { provisionSteps, unprovisionSteps } from '../../src/server/steps.ts'
import { member } from '../unit/support/site.ts'
import { expectPrintable, fuzz } from './fuzz.ts'
import { changed, damaged } from './inputs.ts'

/** A server that answers what it likes to every command: platform, receipts, sessions, firewalls, the whole provision. */

const release = `PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nID_LIKE="x y"\nVERSION_ID='12'\n`
const platform = `3f1c-boot\nx86_64\nsystemd\n${release}`
const receipt = {
  schema: 'cloudvault.server-receipt/1',
  made: {
    disk: { state: 'made', what: ['/srv/cloudvault/photos.img', '/srv/cloudvault/'] },
    packages: { state: 'making', what: ['nbd-server'] },
    firewall: { state: 'made', what: ['cv_photos_fsn', 'tcp 10809 from 198.51.100.4'] },
    user: { state: 'made', what: ['cloudvault'] },
  },
}
const session = `boot 3f1c\nheld yes\nholder laptop/9f03c2d1:photos\nnonce ${'ab'.repeat(16)}\nsince 2026-11-22T06:00:00Z\nserving yes\nsocket /run/cloudvault/cv-photos-fsn/export.sock\nchanged yes\n`
const ufw = `Status: active\nDefault: deny (incoming), allow (outgoing)\nufw allow from 198.51.100.4 to any port 10809 proto tcp comment 'cv-photos-fsn'\n`
const zones = `= default\npublic\n= now\npublic (active)\n  rich rules: \n\trule family="ipv4" source address="198.51.100.4" port port="10809" protocol="tcp" accept\n= kept\npublic\n`
const sockets = '  0: 00000000:2A39 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1\n'
const stat = 'regular file|268435456|524288|512|cloudvault|600\n'
const apt = 'Inst nbd-server (1:3.24 Debian:12 [amd64])\nRemv nbd-server [1:3.24]\n'

const text = fc.oneof(
  damaged(
    platform,
    session,
    ufw,
    zones,
    sockets,
    stat,
    apt,
    'allowstreamlocalforwarding yes\n',
    '/srv/cloudvault/photos.img\n',
    'cloudvault:x:104:110::/:/usr/sbin/nologin\n',
  ),
  changed(receipt).map((value) => JSON.stringify(value)),
)
const code = fc.constantFrom<number | null>(0, 0, 0, 0, 1, 2, 3, 5, 6, 7, 44, 126, 127, 255, null)
const output: fc.Arbitrary<Output> = fc.record({
  code,
  stdout: text,
  stderr: fc.oneof(fc.constant(''), text),
})

/** Answers in turn, and after the last one from the start. */
const hostile = (answers: readonly Output[]): RemoteHost & { readonly commands: Command[] } => {
  const commands: Command[] = []
  return {
    name: 'fsn',
    user: 'root',
    clientAddress: '198.51.100.4',
    trustedByKnownHosts: false,
    hostKey: { type: 'ssh-ed25519', base64: 'AAAA', fingerprint: 'SHA256:x' },
    resolved: {
      target: 'fsn',
      host: 'fsn',
      port: 22,
      user: 'root',
      identityFiles: [],
      identitiesOnly: false,
      knownHostsFiles: [],
    },
    close: async () => {},
    commands,
    run: async (command) => {
      commands.push(command)
      expect(commands.length).toBeLessThan(500)
      return answers[(commands.length - 1) % answers.length] ?? { code: 0, stdout: '', stderr: '' }
    },
  }
}
const one = (answer: Output) => hostile([answer])

fuzz('/etc/os-release', damaged(release), (said) => {
  for (const [key, value] of parseOsRelease(said)) {
    expect(key).toMatch(/^[A-Z][A-Z0-9_]*$/)
    expect(value.length).toBeLessThanOrEqual(256)
  }
})

fuzz(
  'what system a server is',
  fc.record({ code: fc.constant(0), stdout: damaged(platform), stderr: text }),
  async (answer) => {
    const found = await readPlatform(one(answer))
    expect(['apt', 'dnf', 'apk', 'zypper', 'pacman']).toContain(found.packageManager)
  },
)

fuzz(
  'the receipt on a server',
  changed(receipt).map((value) => JSON.stringify(value)),
  async (stdout) => {
    const read = await ServerReceipt.read(
      one({ code: 0, stdout, stderr: '' }),
      '/etc/cloudvault/x/receipt.json',
    )
    for (const item of read.items) {
      expect(Array.isArray(read.get(item)?.what)).toBe(true)
      expectPrintable([item, ...(read.get(item)?.what ?? [])].join(' '))
    }
  },
)

const request = { vault: 'photos', member: 'fsn', holder: 'laptop/9f03c2d1:photos', nonce: 'ab'.repeat(16) }
fuzz(
  'answers of the session script',
  fc.record({ code, stdout: damaged(session), stderr: text }),
  async (answer) => {
    const taken = await takeSession(one(answer), request).catch((error: unknown) => error)
    if (taken instanceof Error) throw taken
    expect((taken as { nonce: string }).nonce).toMatch(/^[0-9a-f]{32}$/)
  },
  2000,
)
fuzz(
  'what it shows of a session',
  fc.record({ code: fc.constant(0), stdout: damaged(session), stderr: text }),
  async (answer) => {
    const found = await showSession(one(answer), 'photos', 'fsn')
    if (!found.held) return
    // They are kept, compared, sent back and printed.
    expect(found.nonce).toMatch(/^[0-9a-f]{32}$/)
    expectPrintable([found.holder, found.since, found.bootId].join(' '))
    expect(found.holder.length).toBeLessThan(200)
  },
  2000,
)
fuzz('fence and release', output, async (answer) => {
  await releaseSession(one(answer), 'photos', 'fsn', 'ab'.repeat(16))
  await fenceSession(one(answer), 'photos', 'fsn', 'ab'.repeat(16))
})

const kinds: readonly ServerMember[] = [
  member(),
  member({ server: 'nbdkit', disk: { kind: 'device', path: '/dev/disk/by-id/x' } }),
  member({ link: { kind: 'plain', port: 10809, clients: ['198.51.100.4', '2001:db8::/64'] } }),
  member({ link: { kind: 'tls', auth: 'psk', port: 10809, clients: ['198.51.100.4'] } }),
  member({ link: { kind: 'wireguard', port: 51820 } }),
  member({ link: { kind: 'ipsec', port: 4500, clients: ['198.51.100.4'] } }),
  member({ link: { kind: 'tls', port: 443, clients: ['198.51.100.4'], auth: 'psk' } }),
  member({ link: { kind: 'wireguard', port: 51820 } }),
]

/** Where the keys of links are made; no program is started there. */
const home: Home = {
  local: { name: 'here', run: async () => ({ code: 0, stdout: '', stderr: '' }) } as unknown as LocalMachine,
  paths: vaultPaths('photos', { CLOUDVAULT_STATE: mkdtempSync(join(tmpdir(), 'cv-fuzz-')) }),
}
afterAll(() => rmSync(home.paths.state, { recursive: true, force: true }))

/** Everything that would be typed on the server: no word of it holds what only a hostile answer can have brought in. */
const clean = ({ commands }: { readonly commands: readonly Command[] }): void => {
  for (const { argv } of commands) expectPrintable(shellLine(argv))
}

const quiet = { signal: new AbortController().signal, observe: () => {} }
const whole = fc.tuple(fc.constantFrom(...kinds), fc.array(output, { minLength: 1, maxLength: 40 }))

fuzz(
  'a provision among lies',
  whole,
  async ([kind, answers]) => {
    const host = hostile(answers)
    try {
      await applySteps(await provisionSteps(host, 'photos', kind, home), quiet)
    } finally {
      clean(host)
    }
  },
  1500,
)

fuzz(
  'an unprovision among lies',
  whole,
  async ([kind, answers]) => {
    const host = hostile(answers)
    try {
      await removeSteps(await unprovisionSteps(host, 'photos', kind, home), quiet)
    } finally {
      clean(host)
    }
  },
  1500,
)

/** Every step for itself: a lie early on ends the walks above before the later ones are reached. */
fuzz(
  'each probe and each change of a provision',
  fc.tuple(fc.constantFrom(...kinds), fc.array(output, { minLength: 1, maxLength: 12 })),
  async ([kind, answers]) => {
    const steps = await surveyed(kind)
    for (const step of steps) {
      const host = hostile(answers)
      answering = host
      await step.probe().then(
        (finding) => expectPrintableFinding(finding),
        (error: unknown) => expect((error as Error).name).toMatch(/Fault|SessionLost/),
      )
      for (const action of [...step.up, ...(step.mend ?? []), ...step.down])
        await perform(action).catch((error: unknown) => expect((error as Error).name).toMatch(/Fault/))
      clean(host)
    }
  },
  300,
)

let answering: RemoteHost | null = null
/** The steps as an honest survey makes them; from then on another host answers. */
const surveyed = async (kind: ServerMember): Promise<readonly Step[]> => {
  answering = null
  const honest = one({ code: 0, stdout: '', stderr: '' })
  const host: RemoteHost = {
    ...honest,
    run: async (command) => {
      if (answering) return answering.run(command)
      const line = shellLine(command.argv)
      if (line.includes('os-release')) return { code: 0, stdout: platform, stderr: '' }
      if (line.includes('receipt.json') || line.includes('shared.json') || line.includes('exit 44'))
        return { code: 44, stdout: '', stderr: '' }
      if (line.includes('stat -L')) return { code: 0, stdout: 'block special file|disk\n', stderr: '' }
      return { code: 1, stdout: '', stderr: '' }
    },
  }
  return provisionSteps(host, 'photos', kind, home)
}

const expectPrintableFinding = (finding: object): void => expect(typeof finding).toBe('object')
