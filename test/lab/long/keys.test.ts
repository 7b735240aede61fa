import { beforeAll, describe, expect, test } from 'vitest'
import type { Lab } from '../../../lab/index.ts'
import { everyFileIsRight, stillWhole, vaultAtRest } from '../drills/work.ts'
import { canary, nothingLeft, useLab, verb } from '../support.ts'

/** Who may open it, and what lies elsewhere: the escrow copies with the providers, the TPM2 of this machine. */
const lab = useLab({ servers: 2 })
const state = '/var/lib/cloudvault/photos'
const profile = '/etc/cloudvault/photos.yaml'
const minutes = 60_000

beforeAll(() => vaultAtRest(lab(), { size: '256MiB' }), 15 * minutes)

const copies = async (name: string): Promise<string[]> =>
  (await lab().server(name).run('ls /etc/cloudvault/cv-photos-*/escrow-*')).stdout.trim().split('\n')

/** A new machine: nothing of the vault, and not even the alias of a server. */
const losingEverything = async (): Promise<void> => {
  await lab().client.run(`rm -rf /var/lib/cloudvault /etc/cloudvault`)
  expect((await verb(lab(), ['up', 'photos'], 2)).stderr).toContain('cloudvault restore-kit')
}

describe('escrow', () => {
  test('a sheet for the drawer, and on the servers nothing that tells anything', {
    timeout: 10 * minutes,
  }, async () => {
    const first = await verb(lab(), ['escrow', 'photos'])
    const { stdout } = await verb(lab(), ['escrow', 'photos'])
    await lab().client.putFile('/root/old-sheet', first.stdout, 0o600)
    await lab().client.putFile('/root/sheet', stdout, 0o600)
    const key = /^key +((?:\d{6}-){7}\d{6})$/m.exec(stdout)?.[1] ?? ''
    expect(key).not.toBe('')
    for (const { name } of lab().servers) {
      const [copy = '', ...more] = await copies(name)
      expect(more).toEqual([])
      const look = await lab()
        .server(name)
        .run(
          `stat -c %a ${copy}; base64 -d ${copy} | wc -c; base64 -d ${copy} | LC_ALL=C grep -a -c -E 'photos|keys\\.luks|vps-fsn|cloudvault' || true`,
        )
      expect(look.stdout).toBe(`600\n${8 * 1024 * 1024 + 28}\n0\n`)
      const leaked = await lab()
        .server(name)
        .run(`grep -rl -e ${key} -e ${canary} /etc /run /var/log 2>/dev/null || true`)
      expect(leaked.stdout).toBe('')
    }
    const here = await lab().client.run(
      `grep -rl ${key} /var/lib/cloudvault /run /var/log 2>/dev/null || true`,
    )
    expect(here.stdout).toBe('')
  })

  test('an old sheet: exit 5; a tampered copy is passed over, two of them are exit 5', {
    timeout: 10 * minutes,
  }, async () => {
    await losingEverything()
    const old = await verb(lab(), ['restore-kit', '--sheet', '/root/old-sheet'], 5)
    expect(old.stderr).toContain('there is no copy of the kit')
    const flip = (name: string) =>
      lab()
        .server(name)
        .run(
          'f=$(ls /etc/cloudvault/cv-photos-*/escrow-*); cp -a $f /root/copy; printf AAAA | dd of=$f bs=1 seek=5000 conv=notrunc status=none',
        )
    const mend = (name: string) =>
      lab().server(name).run('cp -a /root/copy $(ls /etc/cloudvault/cv-photos-*/escrow-*)')
    await flip('fsn')
    await flip('gra')
    const both = await verb(lab(), ['restore-kit', '--sheet', '/root/sheet'], 5)
    expect(both.stderr).toContain('tampered with, or an old one')
    await lab().client.run(`test ! -e ${state}/keys.luks`)
    await mend('gra')
    const wrong = `sed 's/^key .*/key 111111-111111-111111-111111-111111-111111-111111-111111/' /root/sheet > /root/wrong`
    await lab().client.run(wrong)
    await verb(lab(), ['restore-kit', '--sheet', '/root/wrong'], 9)
    const one = await verb(lab(), ['restore-kit', '--sheet', '/root/sheet'])
    expect(one.stderr).toMatch(/tampered with, or an old one; taken from root@\S+ instead/)
    await mend('fsn')
  })

  test('sheet and passphrase alone, on an empty machine: every file is right', {
    timeout: 10 * minutes,
  }, async () => {
    await losingEverything()
    await verb(lab(), ['restore-kit', '--sheet', '/root/sheet'])
    expect(await stillWhole(lab())).toBeGreaterThan(0)
  })
})

test('a changed passphrase is kept for the boot as well, where the old one was', {
  timeout: 10 * minutes,
}, async () => {
  const kept = '/etc/credstore.encrypted/cloudvault.photos'
  // The light init gives no machine id, and without one there is no host key.
  const store = `systemd-machine-id-setup && mkdir -p -m 700 /etc/credstore.encrypted && systemd-creds encrypt --with-key=host --name=cloudvault.photos /root/photos.pass ${kept}`
  const read = async (): Promise<string> =>
    (await lab().client.run(`systemd-creds decrypt --name=cloudvault.photos ${kept} -`)).stdout
  await lab().client.run(store)
  const change = (from: string, to: string) =>
    verb(lab(), ['key', 'change', 'photos', '--passphrase', `file:${from}`, '--new', `file:${to}`])
  await lab().client.putFile('/root/new.pass', `${canary}-new`, 0o600)
  const changed = await change('/root/photos.pass', '/root/new.pass')
  expect(changed.stdout).toContain('the passphrase that is kept for the boot is the new one')
  expect(changed.stdout).toContain('next: cloudvault escrow photos')
  expect(await read()).toBe(`${canary}-new`)
  await lab().client.run(
    `echo other | systemd-creds encrypt --with-key=host --name=cloudvault.photos - ${kept}`,
  )
  expect((await change('/root/new.pass', '/root/photos.pass')).stdout).toContain(
    'next: cloudvault enable photos',
  )
  expect(await read()).toBe('other\n')
  await lab().client.run(`rm ${kept}`)
})

describe('TPM2', () => {
  let chip: ReturnType<Lab['client']['start']>
  /** A kernel's resource manager would do it. */
  const flush = () =>
    lab().client.run(
      'for k in -t -l -s; do tpm2_flushcontext -T device:/dev/tpmrm0 $k 2>/dev/null; done; true',
    )
  const passphrase = ['--passphrase', 'file:/root/photos.pass']

  beforeAll(async () => {
    chip = lab().client.start(['python3', `${lab().client.repository}/test/lab/drivers/tpm.py`])
    for (let looks = 0; looks < 600 && !chip.output().stdout.includes('ready'); looks++)
      await new Promise((resolve) => setTimeout(resolve, 100))
    expect(chip.output().stdout).toContain('ready')
    await lab().client.run(`sed -i 's/passphrase: { file:.*/passphrase: { prompt: true }/' ${profile}`)
  }, 2 * minutes)

  test('without a slot nobody is there to be asked: exit 2', { timeout: 5 * minutes }, async () => {
    await verb(lab(), ['up', 'photos'], 2)
    await nothingLeft(lab())
  })

  test('it opens the vault, and the passphrase still does', { timeout: 10 * minutes }, async () => {
    await flush()
    const added = await verb(lab(), ['key', 'add', 'photos', '--tpm2', ...passphrase])
    expect(added.stdout).toMatch(/slot 0 {2}passphrase.*\nslot 2 {2}tpm2/)
    await flush()
    await verb(lab(), ['up', 'photos'])
    await everyFileIsRight(lab())
    await verb(lab(), ['down', 'photos'])
    await nothingLeft(lab())
    await lab().client.run('! ls -d /run/cloudvault-key-* 2>/dev/null')
    await flush()
    const again = await verb(lab(), ['key', 'add', 'photos', '--tpm2', ...passphrase], 7)
    expect(again.stderr).toContain('the TPM2 has a slot already')
  })

  test('a machine that started something else: exit 9, in its words', { timeout: 10 * minutes }, async () => {
    const changed = `sha256=${'0'.repeat(63)}1`
    await lab().client.run(`tpm2_pcrextend -T device:/dev/tpmrm0 7:${changed}`)
    await flush()
    const { stderr } = await verb(lab(), ['up', 'photos'], 9)
    expect(stderr).toContain('the TPM2 does not open the keyring')
    expect(stderr).toContain('policy digest does not match')
    await nothingLeft(lab())
    await verb(lab(), ['key', 'remove', 'photos', '2', ...passphrase, '--confirm', 'photos'])
    const tokens = `cryptsetup luksDump --dump-json-metadata ${state}/keys.luks | grep -c systemd-tpm2 || true`
    expect((await lab().client.run(tokens)).stdout).toBe('0\n')
  })

  test('with a PIN: asked for on the terminal, at enrolling and at up', {
    timeout: 10 * minutes,
  }, async () => {
    await flush()
    await typed(['key', 'add', 'photos', '--tpm2', '--pin', ...passphrase], [/TPM2 PIN:/, /\(repeat\):/])
    await flush()
    await typed(['up', 'photos'], [/PIN of the TPM2 for photos:/])
    await verb(lab(), ['down', 'photos'])
    await verb(lab(), ['up', 'photos'], 2) // nobody there to ask for the PIN
    await nothingLeft(lab())
    await chip.stop()
  })

  /** Answers each question with the PIN; the verb must end with 0. */
  const typed = async (args: readonly string[], questions: readonly RegExp[]): Promise<void> => {
    const running = lab().client.start(lab().client.cloudvaultArgv(args), { tty: true })
    let over = false
    const ended = running.wait().finally(() => {
      over = true
    })
    for (const question of questions) {
      for (let looks = 0; looks < 1200 && !over && !question.test(running.output().stdout); looks++)
        await new Promise((resolve) => setTimeout(resolve, 100))
      running.write('246810\r')
    }
    const { code, stdout } = await ended
    expect(`${code} ${stdout}`).toMatch(/^0 /)
    expect(stdout).not.toContain('246810')
  }
})
