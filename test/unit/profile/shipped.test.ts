import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parseProfile } from '../../../src/profile/load.ts'

const names = readdirSync('profiles').filter((name) => name.endsWith('.yaml'))

describe('the shipped profiles', () => {
  it('are the eight that the README speaks of', () => {
    expect(names.sort()).toEqual(
      [
        'ipsec-link',
        'nbdkit',
        'plain-link',
        'single',
        'three-way',
        'tls-link',
        'two-servers',
        'wireguard-link',
      ].map((name) => `${name}.yaml`),
    )
  })
  it.each(names)('%s loads', (name) => {
    const text = readFileSync(`profiles/${name}`, 'utf8')
    const { profile, warnings } = parseProfile(text, `profiles/${name}`)
    expect(profile.members.length).toBeGreaterThan(0)
    const lines = warnings.map(({ message }) => message.split(' ')[0])
    expect(lines).toEqual(name === 'plain-link.yaml' ? ['plain', 'plain'] : [])
    expect(text.split('\n')[0]).toBe('# yaml-language-server: $schema=./profile.schema.json')
  })
})
