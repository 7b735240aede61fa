import { stat } from 'node:fs/promises'

/** How words are written in systemd's own files and properties. */

/** One word of an ExecStart= line in a unit file: quoted, and nothing in it is expanded. */
export const unitWord = (text: string): string => unitPath(text).replaceAll('$', '$$$$').replaceAll('%', '%%')

/** One path in a list of paths (RequiresMountsFor=), as a property of a transient unit. */
export const unitPath = (text: string): string =>
  `"${text.replace(/["\\]/g, '\\$&').replaceAll('\n', '\\n')}"`

/** Whether systemd runs this machine (sd_booted(3) asks the same). */
export const systemdRuns = (): Promise<boolean> =>
  stat('/run/systemd/system').then(
    () => true,
    () => false,
  )
