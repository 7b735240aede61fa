import { Exit, type ExitCode, Fault } from '../fault.ts'
import { listProfiles } from '../profile/find.ts'
import { parseProfile } from '../profile/load.ts'
import { canAsk, confirm } from '../ui/ask.ts'
import { jsonLine } from '../ui/json.ts'
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
import { exists, refuseExisting, schemaFile, targetPath, writeNew } from './init/save.ts'
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
  tools?: InitTools,
): Promise<ExitCode> => {
  const { probes, provision } = tools ?? (await realTools(world))
  const asks = canAsk(world) && options.input !== false && !options.json
  const given = await gather(world, name, options)
  const target = (vault: string): Promise<string> => targetPath(world.env, vault, options.output)
  if (given.vault !== undefined && !options.print) await refuseExisting(await target(given.vault))
  const draft = asks ? await askRest(world, given, options, probes, target) : given
  complain(draft)
  const checked =
    options.check === false || (asks && holes(given).length > 0)
      ? draft
      : await checkAll(draft, probes, voucher(world, asks))
  return finish(world, checked, options, target, asks ? provision : undefined)
}

const realTools = async (world: World): Promise<InitTools> => {
  const [{ networkProbes }, { provisionVerb }] = await Promise.all([
    import('./init-probes.ts'),
    import('./provision.ts'),
  ])
  return { probes: networkProbes(world), provision: (path) => provisionVerb(world, path, [], {}) }
}

/** `cloudvault` alone on a terminal: the wizard when there is no profile yet, else the vaults there are. */
export const bareVerb = async (world: World, tools?: InitTools): Promise<ExitCode> => {
  const known = await listProfiles(world.env)
  const [first] = known
  if (!first) return initVerb(world, undefined, {}, tools)
  const lines = known.map(({ name, path }) => `  ${escapeLine(name)}   ${escapeLine(path)}`)
  world.stderr.write(`vaults:\n${lines.join('\n')}\nnext: cloudvault status ${escapeLine(first.name)}\n`)
  return Exit.ok
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
  probes: WizardProbes,
  target: (vault: string) => Promise<string>,
): Promise<Draft> => {
  if (holes(given).length === 0) return given
  return interview(given, {
    world,
    say: sayer(world),
    ...(options.check === false ? {} : { probes }),
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

/** Writes or prints the profile, and says what comes next. */
const finish = async (
  world: World,
  draft: Draft,
  options: InitOptions,
  target: (vault: string) => Promise<string>,
  provision: InitTools['provision'],
): Promise<ExitCode> => {
  const text = profileText(draft, await schemaFile(world.self))
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
    world.stdout.write(jsonLine(result))
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
  if (provision) {
    const now = await confirm(world, {
      message: 'Provision the servers now?',
      flag: '--no-input',
      initial: false,
    })
    if (now) return provision(path)
  }
  world.stderr.write(`next: cloudvault provision ${escapeLine(known)}\n`)
  return Exit.ok
}
