import { describe, expect, it } from 'vitest'
import { escapeLine, escapeText, hasColours, hasUnicode, painter } from '../../../src/ui/style.ts'

const esc = '\u001b'

describe('escapeText', () => {
  const cases: [string, string, string][] = [
    ['colours', `${esc}[31mred${esc}[0m`, '\\x1b[31mred\\x1b[0m'],
    ['a window title', `${esc}]0;owned\u0007`, '\\x1b]0;owned\\x07'],
    ['a clipboard write', `${esc}]52;c;cm0gLXJm${esc}\\`, '\\x1b]52;c;cm0gLXJm\\x1b\\'],
    ['the one-byte CSI of C1', '\u009b2J', '\\x9b2J'],
    ['a carriage return that overwrites', 'denied\rgranted', 'denied\\x0dgranted'],
    ['backspaces', 'no\b\byes', 'no\\x08\\x08yes'],
    ['DEL and NUL', 'a\u007f\u0000', 'a\\x7f\\x00'],
    ['text written backwards', 'photos\u202egpj.exe', 'photos\\u{202e}gpj.exe'],
    ['zero width characters', 'f\u200bsn', 'f\\u{200b}sn'],
    ['invisible tag characters', 'x\u{e0041}', 'x\\u{e0041}'],
    ['line separators', 'a\u2028b', 'a\\u{2028}b'],
    ['a lone surrogate', 'a\ud800b', 'a\\u{d800}b'],
  ]
  it.each(cases)('spells out %s', (_name, hostile, shown) => {
    expect(escapeText(hostile)).toBe(shown)
  })

  it('leaves honest text alone', () => {
    const honest = 'Gerät /dev/nbd0 ✔ 漢字 😀\n\tsecond line'
    expect(escapeText(honest)).toBe(honest)
  })

  it('keeps nothing that moves the cursor, for any of the first 65,536 characters', () => {
    const all = Array.from({ length: 0x10000 }, (_, code) => String.fromCharCode(code)).join('|')
    const moving = [...escapeText(all)].filter((character) => /[\p{Cc}\p{Cf}]/u.test(character))
    expect(new Set(moving)).toEqual(new Set(['\n', '\t']))
  })

  it('makes one line of many', () => {
    expect(escapeLine('  one\n\ttwo\r\n')).toBe('one two\\x0d')
  })
})

describe('colours', () => {
  const terminal = { isTTY: true }
  it.each([
    ['a terminal', {}, terminal, true],
    ['a file', {}, {}, false],
    ['NO_COLOR', { NO_COLOR: '1' }, terminal, false],
    ['an empty NO_COLOR, which does not count', { NO_COLOR: '' }, terminal, true],
    ['NO_COLOR against FORCE_COLOR', { NO_COLOR: '1', FORCE_COLOR: '1' }, terminal, false],
    ['FORCE_COLOR on a file', { FORCE_COLOR: '1' }, {}, true],
    ['FORCE_COLOR=0', { FORCE_COLOR: '0' }, terminal, false],
    ['a dumb terminal', { TERM: 'dumb' }, terminal, false],
  ])('%s', (_name, env, stream, expected) => {
    expect(hasColours(env, stream)).toBe(expected)
  })

  it('paints per stream', () => {
    expect(painter({}, terminal)('red', 'x')).toBe(`${esc}[31mx${esc}[39m`)
    expect(painter({}, {})('red', 'x')).toBe('x')
  })
})

describe('the locale', () => {
  it.each([
    [{}, false],
    [{ LANG: 'C' }, false],
    [{ LANG: 'de_DE.UTF-8' }, true],
    [{ LANG: 'de_DE.utf8' }, true],
    [{ LANG: 'de_DE.UTF-8', LC_CTYPE: 'C' }, false],
    [{ LANG: 'C', LC_ALL: 'C.UTF-8' }, true],
    [{ LANG: 'C.UTF-8', LC_ALL: '' }, true],
  ])('%j → %s', (env, expected) => {
    expect(hasUnicode(env)).toBe(expected)
  })
})
