import { stripVTControlCharacters } from 'node:util'
import { afterAll, beforeAll, expect } from 'vitest'
import { measured } from '../lab/drills/home.ts'
import { vaultUp } from '../lab/drills/work.ts'
import { nothingLeft, useLab, verb } from '../lab/support.ts'
import { attack } from './attack.ts'

/**
 * gra is hostile: its SSH server, what its commands print, what lies about on it. fsn is honest. gra is reached over
 * the plain link, whose port a third host must not get to.
 */
const lab = useLab({ servers: 2, bystander: true })
const gra = () => lab().server('gra')

const honest = '    disk: { file: /srv/cloudvault/photos.img, size: 256MiB }\n    link: ssh'
const plain = honest.replace('link: ssh', 'link: { plain: { port: 10809 } }')

beforeAll(() => vaultUp(lab(), { size: '256MiB', changes: [[honest, plain]] }), 900_000)

afterAll(async () => {
  await lab().client.cloudvault(['down', 'photos'])
})

attack(28, lab, async () => {
  await verb(lab(), ['up', 'photos'])
  let tried = 0
  for (const server of lab().servers) {
    const listening = (await server.run("ss -Hltn | awk '{print $4}'")).stdout.trim().split('\n')
    const ports = new Set(
      listening.map((address) => Number(address.replace(/.*:/, ''))).filter((port) => port !== 22),
    )
    expect(ports).toEqual(new Set(server.name === 'gra' ? [10809] : []))
    for (const port of [...ports, 10809])
      for (const address of [server.address, server.address6]) {
        const met = await lab().bystander?.reach(address, port)
        expect(`${server.name} ${met?.reach}`).toBe(
          `${server.name} ${server.name === 'gra' ? 'silent' : 'refused'}`,
        )
        tried++
      }
  }
  // Somebody else who has an account on the server: the socket is for the login user alone.
  const socket = '/run/cloudvault/cv-photos-fsn/export.sock'
  expect((await lab().server('fsn').run(`stat -c '%a %U' ${socket}`)).stdout.trim()).toBe('600 root')
  const met = await lab().bystander?.reach(gra().address, 22)
  expect(met?.says).toContain('SSH-2.0')
  await verb(lab(), ['down', 'photos'])
  await nothingLeft(lab())
  return `${tried} tries at two servers, IPv4 and IPv6: link ssh has no port, the port of link plain is silent; only SSH answers`
})

/** `up` has to say in bounded time and memory what is wrong with gra. */
const upAgainst = async (code: number): Promise<{ readonly said: string; readonly cost: string }> => {
  const seen = await measured(lab(), ['up', 'photos'])
  expect(`${seen.code} ${seen.stderr}`).toMatch(new RegExp(`^${code} `))
  expect(seen.mebibytes).toBeLessThan(300)
  expect(seen.seconds).toBeLessThan(120)
  await nothingLeft(lab())
  return { said: seen.stderr, cost: `${seen.seconds.toFixed(0)} s, ${Math.ceil(seen.mebibytes)} MiB` }
}

/** In the place of sshd: a program that says the same for ever to everybody who connects. */
const greeting = (words: string): string =>
  `use IO::Socket::INET; $SIG{CHLD} = 'IGNORE'; $SIG{PIPE} = 'IGNORE';
   my $s = IO::Socket::INET->new(LocalPort => 22, Listen => 9, ReuseAddr => 1) or die;
   while (my $c = $s->accept) { next if fork; my $x = ${words} x 1000; while (print $c $x) {} exit }`

const instead = async (program: string, work: () => Promise<void>): Promise<void> => {
  await gra().run('systemctl stop ssh.socket ssh.service 2>/dev/null; systemctl stop ssh.service')
  await gra().run(['systemd-run', '--quiet', '--collect', '--unit=greeter', 'perl', '-e', program])
  try {
    await gra().run('for i in $(seq 50); do ss -Hltn | grep -q ":22 " && exit 0; sleep 0.2; done; exit 1')
    await work()
  } finally {
    await gra().run('systemctl stop greeter; systemctl start ssh.service')
  }
}

attack(22, lab, async () => {
  await verb(lab(), ['down', 'photos'])
  const seen: string[] = []
  for (const [what, words] of [
    ['lines', '"welcome to this server\\r\\n"'],
    ['one line', '"A"'],
    ['escapes', '"\\x1b]0;owned\\x07\\n"'],
  ] as const)
    await instead(greeting(words), async () => {
      const { said, cost } = await upAgainst(7)
      expect(said).toMatch(/gra: gra cannot be reached|gra cannot be reached/)
      expect(said).toContain('cannot be reached over SSH')
      expect(said).not.toContain('\x1b')
      seen.push(`${what}: ${cost}`)
    })
  return `exit 7, gra cannot be reached over SSH; ${seen.join('; ')}`
})

/** Whatever is asked of gra's sshd, this is what runs there. */
const forced = async (command: string, work: () => Promise<void>): Promise<void> => {
  const file = '/etc/ssh/sshd_config.d/hostile.conf'
  await gra().run(`echo 'ForceCommand ${command}' > ${file} && systemctl restart ssh`)
  try {
    await work()
  } finally {
    await gra().run(`rm ${file} && systemctl restart ssh`)
  }
}

attack(23, lab, async () => {
  await verb(lab(), ['down', 'photos'])
  const seen: string[] = []
  for (const [command, words] of [
    ['cat /dev/zero', 'sent more than 4 MiB'],
    ['cat /dev/zero >&2', 'sent more than 4 MiB'],
    ['sleep 1000', 'did not finish within 20 s'],
  ] as const)
    await forced(command, async () => {
      const { said, cost } = await upAgainst(7)
      expect(said).toContain(words)
      seen.push(`${command}: "${words}", ${cost}`)
    })
  return `exit 7; ${seen.join('; ')}`
})

const title = ']0;owned'
const owned = '$(touch /root/owned); `touch /root/owned`; touch /root/owned'

/** Runs a verb on a terminal, as people do. @returns the exit code and every byte that the terminal got */
const onTerminal = async (args: readonly string[]) => {
  const { code, stdout } = await lab().client.start(lab().client.cloudvaultArgv(args), { tty: true }).wait()
  expect(stdout).not.toContain(`\x1b${title}`)
  expect(stdout).not.toContain('\x9b')
  return { code, said: stdout }
}

attack(24, lab, async () => {
  await verb(lab(), ['down', 'photos'])
  await gra().run([
    'sh',
    '-c',
    'mkdir "/etc/cloudvault/cv-$1" "/etc/cloudvault/cv-$(printf "\\033]0;owned\\007")"',
    'sh',
    owned.replaceAll('/', '|'),
  ])
  await gra().run([
    'sh',
    '-c',
    `cp /etc/os-release /root/release; printf 'PRETTY_NAME="%s"\\n' "$(printf '\\033${title}\\007') $1" >> /etc/os-release`,
    'sh',
    owned,
  ])
  const chatty = '/srv/chatty'
  await gra().run(`cat > ${chatty} && chmod 755 ${chatty}`, {
    input: `#!/bin/sh\nprintf '\\033${title}\\007 \\233 %s\\n' '${owned}' >&2\nsh -c "$SSH_ORIGINAL_COMMAND"\ncode=$?\nprintf '\\033${title}\\007' >&2\nexit $code\n`,
  })
  await forced(chatty, async () => {
    expect((await onTerminal(['provision', 'photos', 'gra'])).code).toBe(0)
    expect((await onTerminal(['up', 'photos'])).code).toBe(0)
    expect((await onTerminal(['status', 'photos'])).code).toBe(0)
    expect((await onTerminal(['down', 'photos'])).code).toBe(0)
  })
  // Now every command that looks at the platform fails, and its words are shown.
  await gra().run(
    `sed -i 's/^sh -c.*/case $SSH_ORIGINAL_COMMAND in *os-release*) exit 1 ;; esac; &/' ${chatty}`,
  )
  let shown = ''
  await forced(chatty, async () => {
    const { code, said } = await onTerminal(['provision', 'photos', 'gra'])
    expect(code).toBe(4)
    expect(said).toContain(`\\x1b${title}\\x07`)
    shown =
      said
        .split('\n')
        .find((line) => line.includes(title))
        ?.trim() ?? ''
  })
  for (const host of [lab().client, ...lab().servers])
    expect((await host.run('ls /root/owned', { allowFail: true })).code).not.toBe(0)
  await gra().run(
    'mv /root/release /etc/os-release; cd /etc/cloudvault && for d in cv-*; do [ "$d" = cv-photos-gra ] || rmdir "$d"; done',
  )
  return `provision, up, status and down did their work, the terminal got no escape of the server's; an error shows "${[...stripVTControlCharacters(shown)].slice(0, 60).join('')}"; nothing was executed`
})

const etc = '/etc/cloudvault/cv-photos-gra'
const unit = '/etc/systemd/system/cv-photos-gra.service'
/** Every file of ours on gra, and its content. */
const ours = async (): Promise<string> =>
  (await gra().run(`find ${etc} ${unit} /srv/cloudvault -type f -size -1M -exec sha256sum {} + | sort`))
    .stdout

attack(25, lab, async () => {
  await verb(lab(), ['down', 'photos'])
  const kept = await ours()
  const plants = [
    'garbage',
    '{"schema":"somebody.else/1","made":{}}',
    JSON.stringify({
      schema: 'cloudvault.server-receipt/1',
      made: { disk: { state: 'made', what: [owned] } },
    }),
    JSON.stringify({ schema: 'cloudvault.server-receipt/1', made: { disk: null } }),
    `${'['.repeat(100_000)}`,
  ]
  for (const text of plants) {
    await gra().run(`cp -a ${etc}/receipt.json /root/receipt && cat > ${etc}/receipt.json`, { input: text })
    for (const args of [
      ['provision', 'photos', 'gra'],
      ['unprovision', 'photos', 'gra', '--confirm', 'photos'],
    ]) {
      const refused = await verb(lab(), args, 7)
      expect(refused.stderr).toContain(
        'gra: the receipt /etc/cloudvault/cv-photos-gra/receipt.json on the server cannot be understood',
      )
    }
    await gra().run(`cp -a /root/receipt ${etc}/receipt.json`)
    expect(await ours()).toBe(kept)
  }
  // In its place a link to what only root may read: nothing of that is shown.
  await gra().run(`mv ${etc}/receipt.json /root/receipt && ln -s /etc/shadow ${etc}/receipt.json`)
  const refused = await verb(lab(), ['provision', 'photos', 'gra'], 7)
  expect(refused.stdout + refused.stderr).not.toContain('root:')
  await gra().run(`rm ${etc}/receipt.json && mv /root/receipt ${etc}/receipt.json`)
  expect((await verb(lab(), ['provision', 'photos', 'gra'])).stdout).toBe('gra: no change\n')
  return `exit 7 "the receipt on the server cannot be understood" for ${plants.length + 1} of them, nothing was changed`
})

attack(26, lab, async () => {
  await verb(lab(), ['down', 'photos'])
  const evil = '[Service]\nType=oneshot\nExecStart=/bin/sh -c "touch /root/owned"\n'
  await gra().run(`cat > ${unit} && systemctl daemon-reload`, { input: evil })
  const again = await verb(lab(), ['provision', 'photos', 'gra'])
  expect(again.stdout).toContain('gra: set up (export')
  expect((await gra().run(`systemctl cat cv-photos-gra.service`)).stdout).not.toContain('owned')
  await verb(lab(), ['up', 'photos'])
  await verb(lab(), ['down', 'photos'])
  expect((await gra().run('ls /root/owned', { allowFail: true })).code).not.toBe(0)
  return 'provision says "gra: set up (export)" and puts its own unit there; the planted one never ran'
})

attack(27, lab, async () => {
  await verb(lab(), ['down', 'photos'])
  const precious = '/etc/precious'
  const disk = '/srv/cloudvault/photos.img'
  await gra().run(`echo precious > ${precious}`)
  const untouched = async () => expect((await gra().run(`cat ${precious}`)).stdout).toBe('precious\n')
  await gra().run(
    `ln -sf ${precious} ${unit} && for f in ${unit} ${etc}/export ${etc}/receipt.json; do ln -s ${precious} $f.new; done`,
  )
  await verb(lab(), ['provision', 'photos', 'gra'])
  await untouched()
  await gra().run(
    `test ! -L ${unit} && test ! -e ${unit}.new && mv ${disk} ${disk}.real && ln -s ${precious} ${disk}`,
  )
  const refused = await verb(lab(), ['provision', 'photos', 'gra'], 5)
  expect(refused.stderr).toContain(`${disk} leads over a symbolic link`)
  await untouched()
  await gra().run(`rm ${disk} && mv ${disk}.real ${disk} && rm ${precious}`)
  await verb(lab(), ['up', 'photos'])
  await verb(lab(), ['down', 'photos'])
  return `a link in the place of the unit or beside a file is replaced, one in the place of the disk is refused: exit 5 "leads over a symbolic link"; the file behind it is as it was`
})
