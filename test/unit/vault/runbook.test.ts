import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parseProfile } from '../../../src/profile/load.ts'
import { runbook } from '../../../src/vault/runbook.ts'

/** The runbook is read by somebody who has nothing else left. That it works is shown in the lab (vault.test.ts). */

const bookOf = (name: string): string[] => {
  const file = `profiles/${name}.yaml`
  return runbook(parseProfile(readFileSync(file, 'utf8'), file).profile, '/root/kit').split('\n')
}

describe('the runbook', () => {
  const lines = bookOf('two-servers')

  test('keeps the vault key from other users and out of every argument list', () => {
    const mask = lines.indexOf('umask 077')
    const key = lines.findIndex((line) => line.includes('> /dev/shm/photos.key'))
    expect(mask).toBeGreaterThan(-1)
    expect(key).toBeGreaterThan(mask)
    expect(lines.join('\n')).not.toMatch(/xargs|--key-file=[^-/]/)
    expect(lines).toContain('shred -u /dev/shm/photos.key')
  })

  test('serves with flushes: without them fsync would mean nothing', () => {
    const served = lines.filter((line) => line.includes('nbd-server -C'))
    expect(served).toHaveLength(2)
    for (const line of served) expect(line).toMatch(/flush = true.*fua = true/)
  })

  test('uses the server program that is installed there', () => {
    const served = bookOf('nbdkit').filter((line) => /^ssh \S+ '?systemctl stop/.test(line))
    expect(served.filter((line) => line.includes('nbdkit --ipaddr=127.0.0.1'))).not.toEqual([])
    for (const line of served) expect(line).toMatch(/nbdkit --ipaddr|nbd-server -C/)
  })

  test('closes everything that it opened: mapping, device, tunnel, server', () => {
    const at = lines.indexOf('# Closing:')
    const closing = lines.slice(at).join('\n')
    for (const member of ['fsn', 'gra']) {
      expect(closing).toContain(`cryptsetup close cv-photos-${member}`)
      expect(closing).toContain(`-S /run/cv-photos-${member}-by-hand.sock -O exit vps-${member}`)
      expect(closing).toContain(`cat /run/cv-photos-${member}-by-hand.pid`)
    }
    expect(closing).toContain('nbd-client -d /dev/nbd0')
    expect(closing).toContain('nbd-client -d /dev/nbd1')
  })
})
