/** One word for a POSIX shell: bare when harmless, else in single quotes. */
const word = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`

/**
 * argv as one line for a POSIX shell. The only place in the project where a shell line is made: it is what is sent
 * over SSH and what --dry-run prints.
 */
export const shellLine = (argv: readonly string[]): string => argv.map(word).join(' ')
