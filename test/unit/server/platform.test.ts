import { describe, expect, test } from 'vitest'
import { parseOsRelease, readPlatform } from '../../../src/server/platform.ts'
import { scriptedHost } from '../support/scripted-host.ts'

const server = (release: string, systemd = 0) =>
  scriptedHost('fsn', [
    ['os-release', { stdout: `b00t\nx86_64\n${systemd === 0 ? 'systemd' : 'other'}\n${release}` }],
  ])

describe('readPlatform', () => {
  test.each([
    ['PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n', 'apt'],
    ['ID=linuxmint\nID_LIKE="ubuntu debian"\n', 'apt'],
    ['ID="rocky"\nID_LIKE="rhel centos fedora"\n', 'dnf'],
    ['ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', 'zypper'],
    ["ID='arch'\n", 'pacman'],
  ])('%j is %s', async (release, manager) => {
    expect((await readPlatform(server(release))).packageManager).toBe(manager)
  })

  test('without systemd: exit 3', async () => {
    await expect(readPlatform(server('ID=alpine\n', 1))).rejects.toMatchObject({ exit: 3 })
  })

  test('an unknown system: exit 3, and constructor names of objects are no package managers', async () => {
    for (const id of ['plan9', '__proto__', 'constructor', 'toString'])
      await expect(readPlatform(server(`ID=${id}\n`))).rejects.toMatchObject({ exit: 3 })
  })
})

describe('parseOsRelease', () => {
  test('leaves out what looks odd, and the first of a key counts', () => {
    const text = 'ID=debian\nID=evil\nNAME="$(reboot)"\nX=`id`\nlower=1\nA="unclosed\nB=a b\n__proto__=x\n'
    expect([...parseOsRelease(text)]).toEqual([['ID', 'debian']])
  })

  test('does not choke on a megabyte of nonsense', () => {
    expect(parseOsRelease('A='.repeat(500_000)).size).toBe(0)
  })
})
