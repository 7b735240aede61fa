import { expect, test } from 'vitest'
import { perform } from '../../../src/engine/action.ts'
import { mount } from '../../../src/stack/mount.ts'
import type { Vault } from '../../../src/stack/vault.ts'
import { scriptedHost } from '../support/scripted-host.ts'

const fsid = 'dc3db78a-2908-44e0-889e-22b9647d6b25'

/** The mount of a vault whose member is being replaced, when this is what dump-super says of the newcomer. */
const mounted = async (said: { code: number; stdout?: string; stderr?: string }, job?: object) => {
  const local = scriptedHost('here', [
    ['dump-super', said],
    [/^mount /, {}],
  ])
  const members = [{ name: 'fsn' }, { name: 'fsn2' }]
  const profile = { vault: 'photos', mount: { at: '/vault/photos' }, members, filesystem: {} }
  const vault = { local, profile } as unknown as Vault
  const silence = { record: { fsid, ...(job ? { job } : {}) } } as never
  const step = mount(vault, { readOnly: false, members: ['fsn', 'fsn2'], needs: [], silence })
  for (const action of step.up) await perform(action)
  return local.lines.findLast((line) => line.startsWith('mount ')) ?? ''
}
const replace = { kind: 'replace', phase: 'move', joins: 'fsn2', leaves: 'fsn' }
const block = [
  'csum\t\t0x1 [match]',
  `fsid\t\t${fsid}`,
  ...['generation', 'num_devices', 'dev_item.bytes_used', 'dev_item.total_bytes', 'dev_item.devid'].map(
    (field) => `${field}\t\t1`,
  ),
  `dev_item.uuid\t\t${fsid}`,
].join('\n')

test('a newcomer that is blank yet is not named, and the mount is not a degraded one', async () => {
  const line = await mounted(
    { code: 1, stderr: 'ERROR: bad magic on superblock on /dev/mapper/cv-photos-fsn2' },
    replace,
  )
  expect(line).toContain('device=/dev/mapper/cv-photos-fsn /dev/mapper/cv-photos-fsn /vault/photos')
  expect(line).not.toMatch(/fsn2|degraded/)
})

test('without a change everybody is named, and nobody is asked first', async () => {
  const line = await mounted({ code: 70 })
  expect(line).toContain('device=/dev/mapper/cv-photos-fsn,device=/dev/mapper/cv-photos-fsn2 ')
})

test('one that the kernel works on is named', async () => {
  expect(await mounted({ code: 0, stdout: block }, replace)).toContain(',device=/dev/mapper/cv-photos-fsn2 ')
})
