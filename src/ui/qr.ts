import { type Environment, hasColours, hasUnicode, type Screen } from './style.ts'

/**
 * A secret as a QR code, for the camera of a telephone or a label printer. On a terminal only: nothing of it goes
 * where a log or another program would keep it. The only file that knows uqr.
 */

/** White around the code: with less, some cameras do not find it. */
const quietZone = 2

/** @returns lines to print, or null where they would not be seen whole: no terminal, too narrow, no UTF-8 */
export const qrCode = async (
  world: { readonly stdout: Screen; readonly env: Environment },
  text: string,
): Promise<string | null> => {
  const { stdout, env } = world
  if (stdout.isTTY !== true || !hasUnicode(env)) return null
  const { renderUnicodeCompact } = await import('uqr')
  const lines = renderUnicodeCompact(text, { ecc: 'M', border: quietZone }).split('\n')
  if ((lines[0]?.length ?? 0) > (stdout.columns || 80)) return null
  // The blocks are what is white: said to the terminal, so that a light one does not show it inverted.
  const shown = hasColours(env, stdout) ? lines.map((line) => `\u001b[97;40m${line}\u001b[0m`) : lines
  return shown.join('\n')
}
