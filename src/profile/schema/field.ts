import * as z from 'zod'
import type { Rule } from '../rules/path.ts'
import type { Parsed } from '../units.ts'

/**
 * The building block of the schema: a text that one rule judges, with the manual's words about it.
 */

interface Words {
  readonly description: string
  readonly examples: readonly [unknown, ...unknown[]]
  readonly pattern?: string
  readonly default?: unknown
}

/** A text that one rule judges. */
export const text = (rule: Rule, words: Words) =>
  z
    .string()
    .superRefine((value, context) => {
      const fault = rule(value)
      if (fault) context.addIssue({ code: 'custom', message: fault })
    })
    .meta({ ...words, examples: [...words.examples] })

export const quantity =
  (parse: (text: string) => Parsed): Rule =>
  (value) => {
    const parsed = parse(value)
    return 'fault' in parsed ? parsed.fault : null
  }

export const matching =
  (pattern: RegExp, otherwise: string): Rule =>
  (value) =>
    pattern.test(value) ? null : otherwise
