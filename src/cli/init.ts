import { chown, mkdir, open, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { Exit, type ExitCode, Fault } from '../fault.ts'
import { callerOf, userDir } from '../profile/caller.ts'
import { parseProfile } from '../profile/load.ts'
import { canAsk, confirm } from '../ui/ask.ts'
import { escapeLine, signs } from '../ui/style.ts'
import {
  type Draft,
  type DraftFlags,
  draftOfFile,
  draftOfFlags,
  type MemberDraft,
  merge,
} from './init/draft.ts'
import { interview } from './init/interview.ts'
import { flagText, holes, judge } from './init/judge.ts'
import { askKey } from './init/server-questions.ts'
import { checkAll, type WizardProbes } from './init/servers.ts'
import { equivalent, equivalentLine, profileText } from './init/write.ts'
import type { World } from './world.ts'

/**
 * `cloudvault init`: from a few answers to a commented profile. Answers come from flags, from a file, and where
 * there is a terminal from questions; each is checked as it comes. It writes one new file and changes nothing else.
 */

export interface InitOptions extends DraftFlags {
  /** A YAML or JSON file with answers. */
  readonly from?: string
  /** The profile to stdout; nothing is written. */
  readonly print?: boolean
  /** Where to write instead of the user's own directory of profiles. */
  readonly output?: string
  /** False with --no-check: no server is contacted. */
  readonly check?: boolean
  /** False with --no-input: nothing is asked. */
  readonly input?: boolean
  readonly json?: boolean
}

export interface InitTools {
  readonly probes: WizardProbes
  /** Runs `cloudvault provision` on the new profile, when the person says so. */
  readonly provision?: (path: string) => Promise<ExitCode>
}

/**
 * @param name the vault's name; asked for when absent
 * @throws Fault 2 for missing or wrong answers (all at once, by flag) and an existing profile; 4 and 5 for servers
 *   that cannot be reached or trusted; 130 on Ctrl-C
 */
export const initVerb = async (
  world: World,
  name: string | undefined,
  options: InitOptions,
  tools: InitTools,
): Promise<ExitCode> => {
  const asks = canAsk(world) && options.input !== false && !options.json
  const given = await gather(world, name, options)
  const target = (vault: string): Promise<string> => targetPath(world, vault, options)
  if (given.vault !== undefined && !options.print) await refuseExisting(await target(given.vault))
  const draft = asks ? await askRest(world, given, options, tools, target) : given
  complain(draft)
  const checked =
    options.check === false || (asks && holes(given).length > 0)
      ? draft
      : await checkAll(draft, tools.probes, voucher(world, asks))
  return finish(world, checked, options, tools, asks, target)
}

/** Flags over file, judged as far as they go, before anybody is asked or contacted. */
const gather = async (world: World, name: string | undefined, options: InitOptions): Promise<Draft> => {
  const flags = draftOfFlags(name, options)
  const file = options.from ? await draftOfFile(options.from) : { draft: { members: [] }, faults: [] }
  const draft = merge(file.draft, flags.draft)
  const owner = draft.owner ?? usualOwner(world.env)
  const faults = [...file.faults, ...flags.faults]
  throwFaults([...faults, ...judge(draft).map((complaint) => flagText(draft, complaint))])
  return owner === undefined ? draft : { ...draft, owner }
}

/** The person behind sudo, or the one who runs this; root needs no mention. */
const usualOwner = (env: World['env']): string | undefined => {
  const user = env.SUDO_USER ?? env.USER
  return user && user !== 'root' && /^[a-z_][a-z0-9_-]{0,31}$/.test(user) ? user : undefined
}

const throwFaults = (faults: readonly string[]): void => {
  if (faults.length === 0) return
  const what = faults.length === 1 ? faults[0] : `${faults.length} answers are wrong:\n${faults.join('\n')}`
  throw new Fault(Exit.usage, escapeFault(what ?? ''), {
    stands: 'nothing was contacted, nothing was written',
    next: 'cloudvault init --help',
  })
}

const escapeFault = (text: string): string => text.split('\n').map(escapeLine).join('\n')

/** A draft with holes or faults ends here. */
const complain = (draft: Draft): void => {
  const missing = holes(draft)
  if (missing.length > 0) {
    throw new Fault(
      Exit.usage,
      `there is nobody to ask, and these answers are missing:\n${missing.join('\n')}`,
      {
        stands: 'nothing was contacted, nothing was written',
        next: `cloudvault init ${draft.vault ?? 'NAME'} --member name=…,ssh=…,provider=…,size=… --at DIR --passphrase prompt`,
      },
    )
  }
  throwFaults(judge(draft).map((complaint) => flagText(draft, complaint)))
}

const askRest = async (
  world: World,
  given: Draft,
  options: InitOptions,
  tools: InitTools,
  target: (vault: string) => Promise<string>,
): Promise<Draft> => {
  if (holes(given).length === 0) return given
  return interview(given, {
    world,
    say: sayer(world),
    ...(options.check === false ? {} : { probes: tools.probes }),
    nameFree: async (vault) => {
      const path = await target(vault)
      return options.print || !(await exists(path)) || `${path} exists already`
    },
  })
}

/** Whether a host key that nothing vouches for is to be pinned: one question at a time, and no without a terminal. */
const voucher = (world: World, asks: boolean) => {
  let last: Promise<boolean> = Promise.resolve(false)
  return (member: MemberDraft, fingerprint: string, type: string): Promise<boolean> => {
    if (!asks) return Promise.resolve(false)
    const ask = () => askKey(world, member.ssh ?? '', fingerprint, type, sayer(world))
    last = last.then(ask)
    return last
  }
}

const sayer = (world: World) => (text: string) => {
  world.stderr.write(`${text}\n`)
}

/** --output, else the user's own directory of profiles (of the user behind sudo). */
const targetPath = async (world: World, vault: string, options: InitOptions): Promise<string> => {
  if (options.output) return resolve(options.output)
  const own = await userDir(callerOf(world.env))
  return join(own ?? '/etc/cloudvault', `${vault}.yaml`)
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code !== 'ENOENT' && error.code !== 'ENOTDIR',
  )

const existing = (path: string): Fault =>
  new Fault(Exit.usage, `${path} exists already; a profile is never overwritten`, {
    stands: 'nothing was contacted, nothing was written',
    next: `cloudvault check ${path}`,
  })

const refuseExisting = async (path: string): Promise<void> => {
  if (await exists(path)) throw existing(path)
}

/** Writes or prints the profile, and says what comes next. */
const finish = async (
  world: World,
  draft: Draft,
  options: InitOptions,
  tools: InitTools,
  asks: boolean,
  target: (vault: string) => Promise<string>,
): Promise<ExitCode> => {
  const text = profileText(draft)
  const vault = draft.vault ?? ''
  const { warnings } = parseProfile(text, `${vault}.yaml`) // what is written can be read
  const path = options.print ? undefined : await target(vault)
  if (path) await writeNew(path, text, world.env)
  if (options.json) {
    const result = {
      schema: 'cloudvault.init/1',
      vault,
      ...(path ? { path } : { profile: text }),
      command: equivalent(draft),
    }
    world.stdout.write(`${JSON.stringify(result)}\n`)
    return Exit.ok
  }
  if (!path) world.stdout.write(text)
  const sign = signs(world.env)
  const said = [
    ...warnings.map(({ path: key, message }) => `${sign.warn} ${escapeLine(`${key}: ${message}`)}`),
    ...(path ? [`${sign.tick} wrote ${escapeLine(path)}`] : []),
    `  the same without questions: ${escapeLine(equivalentLine(draft))}`,
  ]
  world.stderr.write(`${said.join('\n')}\n`)
  if (!path) return Exit.ok
  const known = options.output ? path : vault
  if (asks && tools.provision) {
    const now = await confirm(world, {
      message: 'Provision the servers now?',
      flag: '--no-input',
      initial: false,
    })
    if (now) return tools.provision(path)
  }
  world.stderr.write(`next: cloudvault provision ${escapeLine(known)}\n`)
  return Exit.ok
}

/** A new file, readable by its owner only; never an existing one. Under sudo it belongs to the person. */
const writeNew = async (path: string, text: string, env: World['env']): Promise<void> => {
  const made = await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const file = await open(path, 'wx', 0o600).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'EEXIST') throw existing(path)
    throw new Fault(Exit.usage, `${path} cannot be written (${error.code})`, {
      stands: 'nothing was written',
      next: 'the same command with --output PATH, or with --print',
    })
  })
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await giveToPerson([path, ...(made ? madeAbove(path, made) : [])], env)
}

/** Directories that were made on the way to a file, the topmost of them given. */
const madeAbove = (path: string, topmost: string): string[] => {
  const directory = dirname(path)
  return directory.length < topmost.length ? [] : [directory, ...madeAbove(directory, topmost)]
}

const giveToPerson = async (paths: readonly string[], env: World['env']): Promise<void> => {
  if (process.geteuid?.() !== 0 || !env.SUDO_UID || !env.SUDO_GID) return
  for (const path of paths) await chown(path, Number(env.SUDO_UID), Number(env.SUDO_GID))
}
