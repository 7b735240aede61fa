import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { program } from '../../src/cli/program.ts'
import { Exit } from '../../src/fault.ts'

/** What the pages say about the program is compared with the program. */

const pages = ['README.md', 'CHANGELOG.md', ...readdirSync('docs').map((name) => `docs/${name}`)]
const textOf = (page: string): string => readFileSync(page, 'utf8')
const prose = pages.map(textOf).join('\n')

/** GitHub's anchors: lower case, punctuation gone, spaces to dashes. */
const anchorsOf = (page: string): string[] =>
  [...textOf(page).matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N} -]/gu, '')
      .replaceAll(' ', '-'),
  )

describe('README and docs', () => {
  test('the profile shown is the shipped one, to the letter', () => {
    const [, shown] = /```yaml\n([\s\S]*?)```/.exec(textOf('README.md')) ?? []
    expect(shown).toBe(readFileSync('profiles/two-servers.yaml', 'utf8'))
  })

  test('every verb is mentioned, and has an example of itself in its help', () => {
    for (const command of program.commands) {
      expect(prose).toMatch(new RegExp(`\`${command.name()}\\b|cloudvault(\\.js)? ${command.name()}\\b`))
      let help = ''
      command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp()
      expect(help).toMatch(new RegExp(`Example:\\n  (sudo )?cloudvault ${command.name()}\\b`))
    }
  })

  test('no verb is shown that does not exist', () => {
    const verbs = program.commands.map((command) => command.name())
    const shown = [...prose.matchAll(/(?:\$ |sudo |`)cloudvault ([a-z][a-z-]+)/g)].map(([, verb]) => verb)
    expect(shown.length).toBeGreaterThan(20)
    expect(shown.filter((verb) => !verbs.includes(verb ?? ''))).toEqual([])
  })

  test('every exit code has its line', () => {
    const listed = [...textOf('README.md').matchAll(/^\| (\d+) \| /gm)].map(([, code]) => Number(code))
    expect(listed.filter((code) => Object.values<number>(Exit).includes(code)).length).toBeGreaterThan(0)
    for (const code of Object.values(Exit)) expect(listed).toContain(code)
  })

  test.each(pages)('every relative link of %s leads somewhere', (page) => {
    const links = [...textOf(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target)
    for (const target of links.filter((link) => !/^[a-z]+:/.test(link))) {
      const [path = '', anchor] = target.split('#')
      const file = path === '' ? page : join(dirname(page), path)
      expect(existsSync(file), `${page} → ${target}`).toBe(true)
      if (anchor !== undefined) expect(anchorsOf(file)).toContain(anchor)
    }
  })

  test('every source file that the map names is there', () => {
    const files = [...textOf('docs/map.md').matchAll(/`((?:src|lab)\/[\w./-]+)`/g)].map(
      ([, file = '']) => file,
    )
    expect(files.length).toBeGreaterThan(30)
    expect(files.filter((file) => !existsSync(file))).toEqual([])
  })
})
