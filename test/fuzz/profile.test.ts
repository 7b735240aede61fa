import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect } from 'vitest'
import { parse, stringify } from 'yaml'
import { parseMember, parsePassphrase } from '../../src/cli/init/draft.ts'
import { setMemberHostKey } from '../../src/profile/edit.ts'
import { ProfileFaults } from '../../src/profile/faults.ts'
import { parseProfile } from '../../src/profile/load.ts'
import type { Profile } from '../../src/profile/profile.ts'
import { parseDestination } from '../../src/profile/rules/destination.ts'
import { parseDiskSize, parseDuration, parseSize } from '../../src/profile/units.ts'
import { jsonLine } from '../../src/ui/json.ts'
import { runbook } from '../../src/vault/runbook.ts'
import { expectPrintable, fuzz } from './fuzz.ts'
import { changed, damaged, noise } from './inputs.ts'

/** The one file that people write by hand, and the words they type instead of it. */

const sound = ['two-servers', 'plain-link', 'three-way', 'nbdkit', 'single'].map((name) =>
  readFileSync(`profiles/${name}.yaml`, 'utf8'),
)

/** A profile, or faults with places inside the file. What is accepted may go into units, argv and shell lines. */
const judged = (text: string): void => {
  let profile: Profile
  try {
    profile = parseProfile(text, 'made-up.yaml').profile
  } catch (error) {
    if (!(error instanceof ProfileFaults)) throw error
    expect(error.faults.length).toBeGreaterThan(0)
    const lines = text.split('\n').length
    for (const { line, column, message } of error.faults) {
      expect(line).toBeLessThanOrEqual(lines)
      expect(line === 0 ? column : Math.min(column, 1)).toBe(line === 0 ? 0 : 1)
      expect(message).not.toBe('')
    }
    throw error
  }
  expectPrintable(jsonLine(profile))
  for (const { ssh, disk, name } of profile.members) {
    expect(ssh).toMatch(/^[^-\s;|&$`'"][^\s;|&$`'"]*$/)
    expect(disk.path).toMatch(/^\/[^\s;|&$`'"\\]*$/)
    expect(name).toMatch(/^[a-z][a-z0-9]*$/)
  }
  expectPrintable(runbook(profile, '/root/kit'))
}

fuzz('a profile with wounds in its text', damaged(...sound), judged, 1500)

fuzz(
  'a profile with other values',
  fc.oneof(...sound.map((text) => changed(parse(text)))).map((value) => stringify(value)),
  judged,
  1500,
)

fuzz('a host key put into a profile', damaged(...sound), (text) => {
  const key = `SHA256:${'A'.repeat(43)}`
  let before: Profile
  try {
    before = parseProfile(text, 'made-up.yaml').profile
  } catch {
    return
  }
  const name = before.members[0]?.name ?? ''
  const { profile } = parseProfile(setMemberHostKey(text, name, key), 'made-up.yaml')
  expect(profile.members[0]?.hostKey).toBe(key)
  expect({ ...profile, members: [] }).toEqual({ ...before, members: [] })
})

fuzz('a destination', damaged('anna@storage.example:2222', '[2001:db8::7]:22', 'vps-fsn'), (text) => {
  const parsed = parseDestination(text)
  if (!('fault' in parsed)) expect(parsed.host).toMatch(/^[A-Za-z0-9._:[\]-]+$/)
})

fuzz('sizes and durations', damaged('10GiB', '4096', '30s', '1.5 TiB', '2 min', '1h'), (text) => {
  for (const read of [parseSize, parseDiskSize, parseDuration]) {
    const found: Record<string, unknown> = { ...read(text) }
    for (const value of Object.values(found))
      if (typeof value === 'number') expect(Number.isSafeInteger(value) && value >= 0).toBe(true)
  }
})

const member = 'name=fsn,ssh=vps-fsn,provider=hetzner,size=10GiB'
fuzz('a member on the command line', damaged(member), (text) => void parseMember(text))

fuzz(
  'a passphrase source on the command line',
  damaged('prompt', 'file:/root/p', 'command:pass show x', 'command:["a","b"]', 'credential:x'),
  (text) => {
    const parsed = parsePassphrase(text)
    // It could be the passphrase itself.
    if ('fault' in parsed && text.length > 12) expect(JSON.stringify(parsed)).not.toContain(text)
  },
)

fuzz('noise for every reader of a line', noise, (text) => {
  for (const read of [
    parseDestination,
    parseSize,
    parseDiskSize,
    parseDuration,
    parseMember,
    parsePassphrase,
  ])
    read(text)
})
