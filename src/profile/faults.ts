import { Exit, Fault } from '../fault.ts'

/**
 * What is wrong with a profile, as data: `check --json` prints the list, people get it as text. All faults of a
 * file are reported together, each with its place, so that nobody mends them one run at a time.
 */
export interface ProfileFault {
  /** As the caller named it. */
  readonly file: string
  /** 1-based; 0 when the file as a whole is meant (unreadable, not a regular file). */
  readonly line: number
  readonly column: number
  /** Key path, "members[1].disk.size"; empty for the file as a whole. */
  readonly path: string
  readonly message: string
  /** What is allowed there, in the manual's words. */
  readonly allowed?: string
  /** A line that would be right: "size: 100GiB". */
  readonly example?: string
}

/** Something legal that the person should know: same shape, never stops anything. */
export type ProfileWarning = ProfileFault

/** More would scroll the first ones, which matter most, off the screen. */
const shownAtMost = 40

/** "photos.yaml:12:15: members[1].disk.size: …", the form editors and terminals make clickable. */
export const place = (fault: ProfileFault): string =>
  fault.line === 0 ? printable(fault.file) : `${printable(fault.file)}:${fault.line}:${fault.column}`

/** One fault as a person reads it: the place and the reason, then what is allowed and an example. */
export const faultText = (fault: ProfileFault): string => {
  const lines = [[place(fault), fault.path, fault.message].filter(Boolean).join(': ')]
  if (fault.allowed) lines.push(`    allowed: ${fault.allowed}`)
  if (fault.example) lines.push(`    example: ${fault.example}`)
  return lines.join('\n')
}

/** One warning on one line, for stderr. */
export const warningText = (warning: ProfileWarning): string =>
  [place(warning), warning.path, warning.message].filter(Boolean).join(': ')

/** Every fault of one profile. Exit 2; nothing was contacted. */
export class ProfileFaults extends Fault {
  readonly file: string
  readonly faults: readonly ProfileFault[]

  constructor(file: string, faults: readonly ProfileFault[]) {
    const count = faults.length === 1 ? 'one fault' : `${faults.length} faults`
    const shown = faults.slice(0, shownAtMost).map(faultText)
    if (faults.length > shownAtMost) shown.push(`… and ${faults.length - shownAtMost} more`)
    super(Exit.usage, `${printable(file)} has ${count}:\n${shown.join('\n')}`, {
      stands: 'nothing was contacted, nothing was changed',
      next: `cloudvault check ${shellWord(file)}`,
    })
    this.name = 'ProfileFaults'
    this.file = file
    this.faults = faults
  }
}

/** A value as it may be shown in an error: quoted, control characters escaped, cut at 60 characters. */
export const quoted = (value: string): string => {
  const text = value.length > 60 ? `${value.slice(0, 57)}…` : value
  return printable(JSON.stringify(text))
}

/** Text without anything a terminal would act on: profiles and file names can come from elsewhere. */
export const printable = (text: string): string =>
  text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu,
    (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`,
  )

const shellWord = (text: string): string =>
  /^[\w./@%+=:,-]+$/.test(text) ? text : `'${printable(text).replaceAll("'", `'\\''`)}'`
