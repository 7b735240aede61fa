import { describe, expect, it } from 'vitest'
import { Exit, Fault } from '../../../src/fault.ts'
import { Secret } from '../../../src/host/secret.ts'
import { report } from '../../../src/ui/report.ts'
import { testWorld } from '../support/world.ts'

const fault = new Fault(Exit.unreachable, 'the export does not answer', {
  member: 'fsn',
  stands: 'nothing was mounted',
  next: 'cloudvault up photos',
  detail: 'one\r\n\n\u001b[2Jtwo\n',
})

describe('an expected failure', () => {
  it('says what, where, what stands and what to type; hostile output is spelled out', () => {
    const world = testWorld()
    expect(report(world, fault)).toBe(Exit.unreachable)
    expect(world.stdout.text).toBe('')
    expect(world.stderr.text).toBe(
      [
        '✖ fsn: the export does not answer',
        '  ┆ one',
        '  ┆ \\x1b[2Jtwo',
        '  stands: nothing was mounted',
        '  next: cloudvault up photos',
        '',
      ].join('\n'),
    )
  })

  it('has nothing but ASCII where the locale has nothing else', () => {
    const world = testWorld({ env: { LANG: 'C' } })
    report(world, fault)
    expect(world.stderr.text).toMatch(/^x fsn: the export/)
    expect([...world.stderr.text].every((character) => character <= '~')).toBe(true)
  })

  it('is bold and red on a terminal, with the same words', () => {
    const world = testWorld({ terminal: true })
    report(world, fault)
    expect(world.stderr.text).toContain(
      '\u001b[31m✖\u001b[39m \u001b[1mfsn: the export does not answer\u001b[22m',
    )
  })

  it('shows the last eight lines of a long output', () => {
    const world = testWorld()
    const detail = Array.from({ length: 50 }, (_, line) => `line ${line}`).join('\n')
    report(world, new Fault(Exit.missing, 'no', { detail }))
    expect(world.stderr.text.match(/line \d+/g)).toEqual(
      Array.from({ length: 8 }, (_, line) => `line ${line + 42}`),
    )
  })

  it('lets no escape through in any of its fields', () => {
    const world = testWorld()
    const evil = '\u001b]0;x\u0007\u202e'
    report(world, new Fault(Exit.busy, evil, { member: evil, stands: evil, next: evil, detail: evil }))
    expect(/[\p{Cf}]|(?!\n)\p{Cc}/u.test(world.stderr.text)).toBe(false)
  })

  it('reports several members that failed at once, and exits by the first', () => {
    const world = testWorld()
    const both = new AggregateError([fault, new Fault(Exit.trust, 'another key', { member: 'gra' })])
    expect(report(world, both)).toBe(Exit.unreachable)
    expect(world.stderr.text).toContain('✖ fsn: the export')
    expect(world.stderr.text).toContain('✖ gra: another key')
  })
})

describe('a bug', () => {
  it('shows its stack and exits 70', () => {
    const world = testWorld()
    const error = new TypeError('x is not\u001b[2J a function')
    expect(report(world, error)).toBe(Exit.bug)
    expect(world.stderr.text).toContain('this is a bug in cloudvault')
    expect(world.stderr.text).toContain('TypeError: x is not\\x1b[2J a function')
    expect(world.stderr.text).toContain('report.test.ts')
  })

  it('is a bug also among expected failures, and also when no Error was thrown', () => {
    expect(report(testWorld(), new AggregateError([fault, new Error('x')]))).toBe(Exit.bug)
    expect(report(testWorld(), 'a string')).toBe(Exit.bug)
    expect(report(testWorld(), new AggregateError([]))).toBe(Exit.bug)
  })
})

describe('--json', () => {
  it('writes one object to stdout and nothing to stderr', () => {
    const world = testWorld()
    report(world, fault, { json: true })
    expect(world.stderr.text).toBe('')
    expect(JSON.parse(world.stdout.text)).toEqual({
      schema: 'cloudvault.error/1',
      exit: 4,
      what: 'the export does not answer',
      member: 'fsn',
      stands: 'nothing was mounted',
      next: 'cloudvault up photos',
      detail: ['one', '\\x1b[2Jtwo'],
    })
    expect(world.stdout.text.indexOf('\n')).toBe(world.stdout.text.length - 1)
  })

  it('names bugs and further members', () => {
    const world = testWorld()
    report(world, new Error('oops'), { json: true })
    expect(JSON.parse(world.stdout.text)).toMatchObject({ exit: 70, bug: true, what: 'oops' })
    const both = testWorld()
    report(both, new AggregateError([fault, fault]), { json: true })
    expect(JSON.parse(both.stdout.text).others).toHaveLength(1)
  })

  it('keeps a secret that slipped into a message unreadable', () => {
    const world = testWorld()
    report(world, new Fault(Exit.secret, `wrong: ${new Secret(Buffer.from('hunter2'))}`), { json: true })
    expect(world.stdout.text).not.toContain('hunter2')
  })
})
