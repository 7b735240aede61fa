import { Command } from 'commander'
import manifest from '../../package.json' with { type: 'json' }
import { Exit } from '../fault.ts'
import { changeVerbs } from './verbs/change.ts'
import { dailyVerbs } from './verbs/daily.ts'
import { outcome, runs, verbsOf } from './verbs/frame.ts'
import { keysVerbs } from './verbs/keys.ts'
import { machineVerbs } from './verbs/machine.ts'
import { profileVerbs } from './verbs/profile.ts'
import { serversVerbs } from './verbs/servers.ts'

/**
 * The program and its verbs. Bodies are loaded when called. A verb that is not built is not in here.
 */

export const program = new Command('cloudvault')
  .description(
    'One YAML file and a few servers you do not trust become a mounted, encrypted, self-healing drive.',
  )
  .version(manifest.version)
  .exitOverride()
  .showSuggestionAfterError()
  .addHelpText(
    'after',
    `
NAME is a vault (its profile is found in $CLOUDVAULT_PROFILE, ~/.config/cloudvault, /etc/cloudvault) or a path to a profile.

Exit codes: 0 ok · 2 usage or profile · 3 missing here · 4 server unreachable or deadline · 5 trust refused ·
6 busy or held · 7 refused until you decide · 8 integrity errors · 9 secret wrong · 130 interrupted · 70 bug

Example:
  cloudvault init photos && cloudvault provision photos
  sudo cloudvault create photos && sudo cloudvault up photos`,
  )

const verb = verbsOf(program)
profileVerbs(verb)
serversVerbs(verb)
dailyVerbs(verb)
changeVerbs(verb)
keysVerbs(verb)
machineVerbs(verb)

// After the verbs, which do not inherit it: an unknown word is called one, not counted.
program.allowExcessArguments()
program.action(async (_options: object, command: Command) => {
  const [unknown] = command.args
  if (unknown === undefined && process.stdin.isTTY && process.stderr.isTTY) {
    return runs(async () => (await import('./init.ts')).bareVerb)()
  }
  if (unknown !== undefined) command.error(`error: unknown command '${unknown}'`)
  command.outputHelp({ error: true })
  outcome.exit = Exit.usage
})
