import { Document } from 'yaml'
import type { Path } from './manual.ts'

/**
 * A value on one line of YAML, as an error text shows it.
 */

/** `{port: 10809}` → "{ port: 10809 }". */
const inline = (value: unknown): string => {
  const text = new Document(value, { version: '1.2' }).toString({
    collectionStyle: 'flow',
    lineWidth: 0,
    flowCollectionPadding: true,
  })
  return text.trim().replace(/\s*\n\s*/g, ' ')
}

/** The line a person would write at this path: "size: 100GiB", "- 198.51.100.4". */
export const exampleLine = (path: Path, value: unknown): string => {
  const key = path.at(-1)
  return typeof key === 'number' ? `- ${inline(value)}` : `${key}: ${inline(value)}`
}
