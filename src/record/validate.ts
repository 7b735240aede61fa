/** Small checks for the two JSON files that we write ourselves and read back. Profiles, written by people, use Zod. */

export const object = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export const text = (value: unknown): value is string => typeof value === 'string'

/** A whole number from 0 up. */
export const whole = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0

/** Parsed JSON, or undefined when it is none. */
export const json = (source: string): unknown => {
  try {
    return JSON.parse(source)
  } catch {
    return undefined
  }
}
