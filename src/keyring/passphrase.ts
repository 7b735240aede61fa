import { constants, open, stat } from 'node:fs/promises'
import { Exit, Fault } from '../fault.ts'
import type { LocalMachine } from '../host/host.ts'
import { Secret } from '../host/secret.ts'
import type { PassphraseSource } from '../profile/profile.ts'

/** Where the passphrase comes from: a question, a file, a command or a systemd credential. Never the YAML, argv or environment. */

/** 8 MiB is cryptsetup's own limit for a key file. */
const largest = 8 * 1024 * 1024

/**
 * @param atBoot name of the credential that stands in for an answer when this process runs as the unit of `enable`
 * @param ask asks on the terminal; throws Fault 2 when there is none
 * @throws Fault 9 when the source cannot be read, is empty, or is open to others
 */
export const passphraseFrom = async (
  source: PassphraseSource,
  world: { local: LocalMachine; env: Readonly<Record<string, string | undefined>>; uid: number },
  ask: () => Promise<Secret>,
  atBoot?: string,
): Promise<Secret> => {
  switch (source.kind) {
    case 'prompt':
      if (atBoot && (await isGiven(atBoot, world.env)))
        return notEmpty(await fromCredential(atBoot, world), `credential ${atBoot}`)
      return notEmpty(await ask(), 'the answer')
    case 'file':
      return notEmpty(await fromFile(source.path, world.uid), source.path)
    case 'command':
      return notEmpty(await fromCommand(source.argv, world.local), source.argv[0] ?? 'the command')
    case 'credential':
      return notEmpty(await fromCredential(source.name, world), `credential ${source.name}`)
  }
}

/** A private regular file of ours: opened once, looked at through the handle, so that it cannot be swapped between. */
const fromFile = async (path: string, uid: number): Promise<Secret> => {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
    (cause) => {
      throw new Fault(Exit.secret, `the passphrase file ${path} cannot be opened`, {
        cause,
        detail: String(cause.code),
      })
    },
  )
  try {
    const facts = await file.stat()
    if (!facts.isFile()) throw new Fault(Exit.secret, `the passphrase file ${path} is not a regular file`)
    if (facts.uid !== uid) throw new Fault(Exit.secret, `the passphrase file ${path} belongs to another user`)
    if ((facts.mode & 0o077) !== 0) {
      throw new Fault(Exit.secret, `the passphrase file ${path} is open to others`, {
        next: `chmod 600 ${path}`,
      })
    }
    if (facts.size > largest) throw new Fault(Exit.secret, `the passphrase file ${path} is larger than 8 MiB`)
    return withoutNewline(await file.readFile())
  } finally {
    await file.close()
  }
}

const fromCommand = async (argv: readonly string[], local: LocalMachine): Promise<Secret> => {
  const result = await local.runForSecret({ argv, deadline: 30_000 }).catch((cause) => {
    if (cause instanceof Fault)
      throw new Fault(Exit.secret, `the passphrase command: ${cause.message}`, { cause })
    throw cause
  })
  if (result.code !== 0) {
    result.secret.wipe()
    throw new Fault(Exit.secret, `the passphrase command ${argv[0]} failed (exit ${result.code})`, {
      detail: result.stderr,
    })
  }
  return withoutNewline(result.secret.reveal())
}

const isGiven = (name: string, env: Readonly<Record<string, string | undefined>>): Promise<boolean> =>
  stat(`${env.CREDENTIALS_DIRECTORY}/${name}`).then(
    () => env.CREDENTIALS_DIRECTORY !== undefined,
    () => false,
  )

const fromCredential = async (
  name: string,
  world: { env: Readonly<Record<string, string | undefined>>; uid: number },
): Promise<Secret> => {
  const directory = world.env.CREDENTIALS_DIRECTORY
  if (!directory) {
    throw new Fault(Exit.secret, `credential ${name}: this process was not given any by systemd`, {
      next: 'use `passphrase: {prompt: true}` when you start the vault by hand',
    })
  }
  return fromFile(`${directory}/${name}`, world.uid)
}

/** Exactly one trailing newline is cut: editors and `echo` add one, and nobody means it. */
const withoutNewline = (bytes: Uint8Array): Secret => {
  const end = bytes[bytes.length - 1] === 0x0a ? bytes.length - 1 : bytes.length
  const kept = Uint8Array.from(bytes.subarray(0, end))
  bytes.fill(0)
  return new Secret(kept)
}

const notEmpty = (secret: Secret, from: string): Secret => {
  if (secret.reveal().length === 0) throw new Fault(Exit.secret, `${from} gave an empty passphrase`)
  return secret
}
