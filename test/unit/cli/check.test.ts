import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { checkVerb } from '../../../src/cli/check.ts'
import { schemaVerb } from '../../../src/cli/schema.ts'
import { Exit } from '../../../src/fault.ts'
import { loadProfile } from '../../../src/profile/load.ts'
import { testWorld } from '../support/world.ts'

const invalid = readdirSync('test/profiles/invalid').filter((name) => name.endsWith('.yaml'))
// Not root: who owns the checkout is no matter here.
const world = () => ({ ...testWorld({ env: { HOME: '/nowhere' } }), uid: 1000 })

describe('check', () => {
  it('says ok in one line per sound profile, and contacts nobody', async () => {
    const here = world()
    const code = await checkVerb(here, ['profiles/single.yaml', 'profiles/three-way.yaml'])
    expect(code).toBe(Exit.ok)
    expect(here.stdout.text).toBe('ok  scratch  profiles/single.yaml\nok  archive  profiles/three-way.yaml\n')
    expect(here.stderr.text).toBe('')
    expect(here.commands).toEqual([])
  })

  it('keeps warnings on stderr', async () => {
    const here = world()
    expect(await checkVerb(here, ['profiles/plain-link.yaml'])).toBe(Exit.ok)
    expect(here.stdout.text.split('\n')).toHaveLength(2)
    expect(here.stderr.text).toMatch(
      /^warning: profiles\/plain-link\.yaml:19:7: members\[0\]\.link: plain has no/,
    )
  })

  it('goes on after a faulty one', async () => {
    const here = world()
    const code = await checkVerb(here, ['nosuch', 'nosuch.yaml', 'profiles/single.yaml'])
    expect(code).toBe(Exit.usage)
    expect(here.stdout.text).toContain('there is no profile for nosuch')
    expect(here.stdout.text).toContain('nosuch.yaml: there is no such file')
    expect(here.stdout.text).toContain('ok  scratch')
  })

  it('prints one JSON object', async () => {
    const here = world()
    const code = await checkVerb(here, ['test/profiles/invalid/first-try.yaml', 'profiles/single.yaml'], {
      json: true,
    })
    expect(code).toBe(Exit.usage)
    expect(here.stderr.text).toBe('')
    const out = JSON.parse(here.stdout.text)
    expect(out).toMatchObject({ schema: 'cloudvault.check/1', ok: false })
    expect(out.profiles[1]).toMatchObject({ vault: 'scratch', ok: true, faults: [], warnings: [] })
    expect(out.profiles[0].ok).toBe(false)
    expect(out.profiles[0].faults[0]).toEqual({
      file: 'test/profiles/invalid/first-try.yaml',
      line: 2,
      column: 8,
      path: 'vault',
      message: '"My Photos": a vault is 1 to 24 of a-z, 0-9 and -, starting with a letter',
      allowed: 'Name of the vault: 1 to 24 of a-z, 0-9 and -, starting with a letter.',
      example: 'vault: photos',
    })
  })
})

describe('bad profiles, word for word', () => {
  it.each(invalid)('%s', async (name) => {
    const here = world()
    expect(await checkVerb(here, [`test/profiles/invalid/${name}`])).toBe(Exit.usage)
    await expect(here.stdout.text).toMatchFileSnapshot(
      `../../profiles/invalid/${name.replace(/\.yaml$/, '.txt')}`,
    )
    await expect(loadProfile(`test/profiles/invalid/${name}`)).rejects.toThrow(/ha(s|ve) /)
  })
})

describe('schema', () => {
  it('is the shipped file (else: node scripts/schema.mjs)', async () => {
    const here = world()
    expect(await schemaVerb(here)).toBe(Exit.ok)
    expect(here.stdout.text).toBe(readFileSync('profiles/profile.schema.json', 'utf8'))
  })

  it('has words and examples for every key, and the examples fit the patterns', () => {
    interface Node {
      description?: string
      examples?: unknown[]
      pattern?: string
      properties?: Record<string, Node>
      items?: Node
      oneOf?: Node[]
      anyOf?: Node[]
    }
    let keys = 0
    const walk = (node: Node, name: string): void => {
      for (const [key, child] of Object.entries(node.properties ?? {})) {
        keys++
        walk(child, `${name}.${key}`)
        if (name.endsWith('kdf') && key === 'algorithm') continue
        expect(child.description, `${name}.${key}`).toMatch(/\.|: /)
        expect(child.examples?.length, `${name}.${key}`).toBeGreaterThan(0)
        const { pattern } = child
        if (pattern)
          for (const example of child.examples ?? []) expect(String(example)).toMatch(new RegExp(pattern))
      }
      for (const inner of [...(node.items ? [node.items] : []), ...(node.oneOf ?? []), ...(node.anyOf ?? [])])
        walk(inner, name)
    }
    const schema = JSON.parse(readFileSync('profiles/profile.schema.json', 'utf8')) as Node
    walk(schema, '')
    expect(keys).toBeGreaterThan(35)
  })
})
