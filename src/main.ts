import { Exit } from './fault.ts'

/**
 * Parses, calls a verb, turns its outcome into the exit code. Only commander is loaded before the verb is known:
 * `--version` and `--help` start nothing else.
 */

/** Runs the command line and answers its exit code. */
const main = async (): Promise<number> => {
  const { program } = await import('./cli/program.ts')
  const { outcome } = await import('./cli/verbs/frame.ts')
  try {
    await program.parseAsync(process.argv)
    return outcome.exit
  } catch (error) {
    const commander = error as { code?: string; exitCode?: number }
    // commander has printed its message already; its own code for wrong usage is 1, which says nothing.
    if (commander.code?.startsWith('commander.')) return commander.exitCode === 0 ? Exit.ok : Exit.usage
    const [{ report }, { plainWorld }] = await Promise.all([
      import('./ui/report.ts'),
      import('./cli/plain-world.ts'),
    ])
    return report(plainWorld(), error, { json: process.argv.includes('--json') })
  }
}

/** Who reads what we say may leave (`| head`); what was begun is brought to its end all the same, unheard. */
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })

process.exitCode = await main()
