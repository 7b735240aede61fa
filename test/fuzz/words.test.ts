import { spawnSync } from 'node:child_process'
import fc from 'fast-check'
import { expect } from 'vitest'
import { Exit, Fault } from '../../src/fault.ts'
import { shellLine } from '../../src/host/quote.ts'
import { picture } from '../../src/ui/picture.ts'
import { escapeLine, escapeText } from '../../src/ui/style.ts'
import type { StatusReport } from '../../src/vault/status.ts'
import { expectPrintable, fuzz, printed } from './fuzz.ts'
import { noise } from './inputs.ts'

/** Everything that is shown: errors, JSON, the picture of a vault. */

fuzz(
  'an error made of noise',
  fc.record({ what: noise, member: noise, stands: noise, next: noise, detail: noise }),
  ({ what, ...details }) => {
    throw new Fault(Exit.trust, what, details)
  },
)

fuzz('a bug made of noise', noise, (text) => {
  expectPrintable(printed(new TypeError(text)))
  const json = printed(new TypeError(text), true)
  expectPrintable(json)
  expect(JSON.parse(json)).toMatchObject({ bug: true, what: text })
})

fuzz('text for a terminal', noise, (text) => {
  expectPrintable(escapeText(text))
  expect(escapeLine(text)).not.toMatch(/[\n\t]/)
})

const report = (text: string): StatusReport => ({
  schema: 'cloudvault.status/1',
  at: '2026-11-22T06:00:00Z',
  vault: text,
  verdict: 'degraded',
  why: [text, text],
  redundancy: 'raid1',
  providers: 2,
  mountedAt: text,
  members: ['up', 'down'].map((state) => ({
    name: text,
    provider: text,
    link: { kind: text, state: state as 'up', note: text },
    mirror: 'stale',
    note: text,
  })),
  scrub: { state: 'finished', finishedAt: text, next: text },
  kit: { state: 'current', writtenAt: text },
  next: [text],
})

fuzz(
  'the picture of a vault',
  fc.tuple(noise, fc.constantFrom(20, 80, Number.POSITIVE_INFINITY), fc.boolean()),
  ([text, width, unicode]) => expectPrintable(picture(report(text), { width, unicode }).join('\n')),
)

/** Words of a command cannot hold a zero byte, nor half a character. */
const word = noise.map((text) => text.replaceAll('\0', '').replace(/\p{Cs}/gu, ''))

fuzz(
  'words in a shell line, read by a shell',
  fc.array(word, { minLength: 1, maxLength: 30 }),
  (words) => {
    const heard = spawnSync('sh', [], { input: `printf '%s\\0' ${shellLine(words)}\n`, maxBuffer: 1 << 24 })
    expect(heard.stdout.toString('utf8').split('\0').slice(0, -1)).toEqual(words)
  },
  60,
)
