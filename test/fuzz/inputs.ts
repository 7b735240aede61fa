import fc from 'fast-check'

/** Made-up inputs: honest ones that were damaged, for noise alone gets no further than the first check. */

/** What parsers stumble over, and what terminals act on. */
const scraps = [
  ...[
    '',
    ' ',
    '\n',
    '\r\n',
    '\t',
    '\0',
    ':',
    '=',
    '-',
    '--',
    '"',
    "'",
    '`',
    '\\',
    '/',
    '..',
    '[',
    ']',
    '{',
    '}',
    '%',
  ],
  ...['0', '-1', '1e309', '0x41', '99999999999999999999', 'NaN', 'Infinity', '1.5', '٣', '０'],
  ...['null', 'true', 'undefined', '__proto__', 'constructor', 'toString', 'hasOwnProperty', 'length'],
  ...[
    '\x1b]0;owned\x07',
    '\x1b[2J\x1b[1;31m',
    '\x9b31m',
    '\x7f',
    '\u202e',
    '\u2028',
    '\ufeff',
    '\ud800',
    '\u{1F512}',
  ],
  ...['$(id)', ';id', '|id', '&& id', '\u0024{HOME}', '%n%n%s', '../../../etc/shadow', '-oProxyCommand=id'],
  'A'.repeat(5000),
  '\n'.repeat(2000),
]

const scrap = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...scraps) },
  { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 30 }) },
  { weight: 1, arbitrary: fc.bigInt().map(String) },
)

/** Text that nobody meant well. */
export const noise: fc.Arbitrary<string> = fc.oneof(
  scrap,
  fc.string({ unit: 'binary', maxLength: 400 }),
  fc.array(scrap, { maxLength: 12 }).map((parts) => parts.join('')),
)

const wound = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  length: fc.oneof(fc.nat(3), fc.nat(60), fc.nat(4000)),
  scrap,
})

/** One of these texts with one to four places cut out, overwritten or doubled; now and then only noise. */
export const damaged = (...samples: readonly string[]): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 1, arbitrary: noise },
    {
      weight: 9,
      arbitrary: fc
        .tuple(fc.constantFrom(...samples), fc.array(wound, { minLength: 0, maxLength: 4 }))
        .map(hurt),
    },
  )

const hurt = ([text, wounds]: [string, { at: number; length: number; scrap: string }[]]): string =>
  wounds.reduce((all, { at, length, scrap: put }) => {
    const from = Math.floor(at * all.length)
    return all.slice(0, from) + put + all.slice(from + length)
  }, text)

const leaf = fc.oneof(
  noise,
  fc.constantFrom<unknown>(null, true, false, 0, -1, 1.5, 1e300, 2 ** 53, [], {}, ['x'], { a: null }),
  fc.jsonValue({ maxDepth: 2 }),
)

/** A value with one to three of its parts, however deep, replaced, taken away or added. */
export const changed = (sample: unknown): fc.Arbitrary<unknown> =>
  fc
    .array(fc.record({ pick: fc.nat(), leaf, how: fc.constantFrom('replace', 'replace', 'remove', 'add') }), {
      maxLength: 3,
    })
    .map((changes) =>
      changes.reduce<unknown>((value, { pick, leaf: put, how }) => {
        const spots = places(value)
        const spot = spots[pick % Math.max(1, spots.length)]
        return spot ? alter(value, spot, how, put) : put
      }, sample),
    )

type Path = readonly (string | number)[]

const places = (value: unknown, path: Path = []): Path[] => {
  if (typeof value !== 'object' || value === null) return [path]
  return [
    path,
    ...Object.entries(value).flatMap(([key, inner]) =>
      places(inner, [...path, Array.isArray(value) ? Number(key) : key]),
    ),
  ]
}

const alter = (value: unknown, [key, ...rest]: Path, how: string, put: unknown): unknown => {
  if (key === undefined) {
    const open = typeof value === 'object' && value !== null && !Array.isArray(value)
    return how === 'add' && open ? { ...value, [String(put).slice(0, 20)]: put } : put
  }
  const copy = (Array.isArray(value) ? [...(value as unknown[])] : { ...(value as object) }) as Record<
    string | number,
    unknown
  >
  if (rest.length === 0 && how === 'remove') delete copy[key]
  else copy[key] = alter(copy[key], rest, how, put)
  return copy
}

/** Bytes of a sample with some of them changed, cut or doubled; now and then only noise. */
export const bytesLike = (...samples: readonly Buffer[]): fc.Arbitrary<Buffer> =>
  fc.oneof(
    { weight: 2, arbitrary: fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes)) },
    {
      weight: 8,
      arbitrary: fc
        .tuple(
          fc.constantFrom(...samples),
          fc.array(fc.tuple(fc.nat(), fc.uint8Array({ maxLength: 8 }), fc.nat(8)), { maxLength: 5 }),
        )
        .map(([bytes, wounds]) =>
          wounds.reduce((all, [at, put, cut]) => {
            const from = at % (all.length + 1)
            return Buffer.concat([all.subarray(0, from), put, all.subarray(from + cut)])
          }, bytes),
        ),
    },
  )
