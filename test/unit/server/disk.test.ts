import { describe, expect, test } from 'vitest'
import { perform } from '../../../src/engine/action.ts'
import { applySteps } from '../../../src/server/apply.ts'
import { fileDiskStep } from '../../../src/server/disk.ts'
import { scriptedHost } from '../support/scripted-host.ts'
import { site } from '../support/site.ts'

const path = '/srv/cloudvault/photos.img'
const disk = { kind: 'file', path, sizeBytes: 268435456 } as const
const good = 'regular file|268435456|524296|512|cloudvault|600\n'
const ours = { disk: [path, '/srv/cloudvault/'] }

/** A server on which the file is there with this `stat`. */
const server = (stat: string, real = path, reach = 0) =>
  scriptedHost('fsn', [
    ['realpath', { stdout: `${real}\n` }],
    [`test -e ${path}`, { code: stat === '' ? 1 : 0 }],
    ['stat -c', { stdout: stat }],
    ['runuser -u cloudvault -- test -w', { code: reach }],
  ])

const probe = async (host: ReturnType<typeof server>, own = {}) =>
  fileDiskStep(await site(host, { own }), disk).probe()

describe('the disk file', () => {
  test('is absent, or present when it is ours and right', async () => {
    expect(await probe(server(''))).toEqual({ is: 'absent' })
    expect(await probe(server(good), ours)).toMatchObject({ is: 'present' })
  })

  test.each([
    ['not ours', good, {}, path, 0, 'was not made by cloudvault'],
    ['of another size', good.replace('268435456', '1'), ours, path, 0, 'has 1 bytes'],
    ['sparse', good.replace('524296', '8'), ours, path, 0, 'sparse'],
    ['of another owner', good.replace('cloudvault', 'root'), ours, path, 0, 'belongs to root'],
    ['open to others', good.replace('600', '644'), ours, path, 0, 'mode 644'],
    ['a directory', good.replace('regular file', 'directory'), ours, path, 0, 'is a directory'],
    ['behind a symlink', good, ours, '/mnt/photos.img', 0, 'symbolic link'],
    ['out of reach', good, ours, path, 1, 'cannot reach'],
  ])('is refused when it is %s', async (_, stat, own, real, reach, words) => {
    const finding = await probe(server(stat, real, reach), own)
    expect(finding.is).toBe('differs')
    expect(JSON.stringify(finding)).toContain(words)
  })

  test('a lost connection is unknown, which permits nothing', async () => {
    const lost = scriptedHost('fsn', [['realpath', { code: null }]])
    const step = fileDiskStep(await site(lost), disk)
    expect((await step.probe()).is).toBe('unknown')
    const run = { signal: new AbortController().signal, observe: () => {} }
    await expect(applySteps([step], run)).rejects.toMatchObject({ exit: 4 })
  })

  test.each([
    '/tmp/x',
    '/var/tmp/x',
    '/run/x',
    '/dev/x',
    '/proc/x',
    'relative',
    '/a/../b',
    '/a b',
    '/a%s',
    "/a'b",
    '/a$b',
    '/a\nb',
  ])('the path %j is refused before anything is asked', async (bad) => {
    const host = scriptedHost('fsn', [])
    const where = await site(host)
    expect(() => fileDiskStep(where, { ...disk, path: bad })).toThrow()
    expect(host.lines).toEqual([])
  })

  test('what is about to be made is in the receipt before it is made, missing directories included', async () => {
    const host = scriptedHost('fsn', [
      ['ours /srv/cloudvault', {}],
      ['ours /srv', { code: 1 }],
      [/.*/, {}],
    ])
    const step = fileDiskStep(await site(host), disk)
    for (const action of step.up) await perform(action)
    const written = host.commands.flatMap(({ input }) => (typeof input === 'string' ? [input] : []))
    expect(JSON.parse(written[0] ?? '').made.disk).toEqual({
      state: 'making',
      what: [path, '/srv/cloudvault/'],
    })
    expect(JSON.parse(written[1] ?? '').made.disk.state).toBe('made')
    const allocated = host.lines.findIndex((line) => line.includes('fallocate'))
    expect(host.lines.findIndex((line) => line.includes('receipt.json'))).toBeLessThan(allocated)
  })

  test('a full server is exit 3 with words', async () => {
    const host = scriptedHost('fsn', [
      ['fallocate', { code: 1, stderr: 'fallocate: fallocate failed: No space left on device\n' }],
      [/.*/, {}],
    ])
    const step = fileDiskStep(await site(host), disk)
    const made = (async () => {
      for (const action of step.up) await perform(action)
    })()
    await expect(made).rejects.toMatchObject({ exit: 3, message: expect.stringContaining('no room') })
  })

  test('nothing is removed that the receipt does not list', async () => {
    const host = scriptedHost('fsn', [])
    expect(fileDiskStep(await site(host), disk).down).toEqual([])
    expect(fileDiskStep(await site(host, { own: ours }), disk).down.length).toBe(2)
  })
})
