import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { becomeTwin } from '../../../src/profile/edit-twin.ts'
import { parseProfile } from '../../../src/profile/load.ts'

/** Only the name, the disk file and the port of one member change; comments and everything else stay. */

const text = readFileSync('profiles/two-servers.yaml', 'utf8')
const linked = (link: string) => text.replace(/( {4}link: )ssh( +# nothing)/, `$1${link}$2`)
const twin = { name: 'fsn2', file: '/srv/cloudvault/photos-fsn2.img' }

describe('a twin takes the lines of a member', () => {
  it('and nothing else is changed', () => {
    const after = becomeTwin(text, 'fsn', twin)
    const changed = after.split('\n').filter((line, index) => line !== text.split('\n')[index])
    expect(changed).toHaveLength(2)
    expect(changed[0]).toMatch(/^ {2}- name: fsn2 +# ←/)
    expect(changed[1]).toMatch(/disk: \{ file: \/srv\/cloudvault\/photos-fsn2\.img, size: 10GiB \} +# ←/)
  })

  it.each([
    ['tls', 'psk'],
    ['{ tls: { port: 10809 } }', 'psk'],
    ['{ tls: { auth: x509 } }', 'x509'],
    ['{ tls: {} }', 'psk'],
  ])('with its port: %s', (link, auth) => {
    const after = becomeTwin(linked(link), 'fsn', { ...twin, port: 10810 })
    expect(parseProfile(after, 'x').profile.members[0]?.link).toMatchObject({
      kind: 'tls',
      port: 10810,
      auth,
    })
  })

  it('a block of its own lines', () => {
    const block = linked('ssh').replace(
      / {4}link: ssh +# nothing.*/,
      '    link:\n      tls:\n        auth: x509',
    )
    expect(becomeTwin(block, 'fsn', { ...twin, port: 10810 })).toContain(
      '      tls:\n        port: 10810\n        auth: x509',
    )
  })

  it('not of somebody who is not there', () => {
    expect(() => becomeTwin(text, 'hel', twin)).toThrow('no member')
  })
})
