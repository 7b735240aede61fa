import { describe, expect, it } from 'vitest'
import { picture } from '../../../src/ui/picture.ts'
import type { DeviceErrors, MemberReport, StatusReport } from '../../../src/vault/status.ts'

const GiB = 2 ** 30
const minute = 60_000
const hour = 60 * minute
const none: DeviceErrors = { read: 0, write: 0, flush: 0, corruption: 0, generation: 0 }

const fsn: MemberReport = {
  name: 'fsn',
  provider: 'hetzner',
  link: { kind: 'ssh', state: 'up' },
  latencyMs: 23.4,
  device: '/dev/nbd0',
  fillBytes: 61 * GiB,
  sizeBytes: 100 * GiB,
  generation: 40211,
  generationBehind: 0,
  errors: none,
  mirror: 'in sync',
}
const gra: MemberReport = {
  ...fsn,
  name: 'gra',
  provider: 'ovh',
  link: { kind: 'plain', state: 'up' },
  latencyMs: 141,
}

const healthy: StatusReport = {
  schema: 'cloudvault.status/1',
  at: '2026-11-21T21:18:00Z',
  vault: 'photos',
  verdict: 'healthy',
  why: [],
  redundancy: 'raid1',
  providers: 2,
  mountedAt: '/vault/photos',
  usedBytes: 61 * GiB,
  totalBytes: 100 * GiB,
  mountedMs: 76 * hour,
  members: [fsn, gra],
  scrub: {
    state: 'finished',
    finishedAt: '2026-11-19T20:00:00Z',
    bytes: 61 * GiB,
    durationMs: 41 * minute,
    next: 'Sun 03:00',
  },
  kit: { state: 'current', writtenAt: '2026-11-09T20:00:00Z' },
  next: [],
}

const degraded: StatusReport = {
  ...healthy,
  verdict: 'degraded',
  sinceMs: 14 * minute,
  why: ['one copy only: losing fsn now loses data'],
  members: [
    { ...fsn, generation: 40388, mirror: 'alone' },
    {
      name: 'gra',
      provider: 'ovh',
      link: { kind: 'ssh', state: 'down', note: 'no answer since 21:04 (patience 30 s)' },
      generation: 40211,
      generationBehind: 177,
      mirror: 'absent',
    },
  ],
  next: ['cloudvault resilver photos', 'cloudvault replace photos gra'],
}

const wide = { width: Number.POSITIVE_INFINITY, unicode: true }
const narrow = { width: 80, unicode: true }

describe('the picture', () => {
  it('healthy, wide', () => {
    expect(picture(healthy, wide)).toEqual([
      'photos   HEALTHY   raid1 on 2 providers   61 of 100 GiB   /vault/photos   up 3 d 4 h',
      '  this machine ─┬─ fsn  hetzner  ssh     23 ms  ██████░░░░ 61%   gen 40211 ✓  errors 0  in sync',
      '                └─ gra  ovh      plain  141 ms  ██████░░░░ 61%   gen 40211 ✓  errors 0  in sync',
      '  scrub  2 d ago, clean, 61 GiB in 41 min · next Sun 03:00   kit  12 d old, current',
      'next: nothing to do',
    ])
  })

  it('healthy, 80 columns: two lines a member', () => {
    expect(picture(healthy, narrow)).toEqual([
      'photos   HEALTHY   raid1 on 2 providers   61 of 100 GiB   /vault/photos',
      '  up 3 d 4 h',
      '  this machine ─┬─ fsn  hetzner  ssh     23 ms  ██████░░░░ 61%',
      '                │       gen 40211 ✓  errors 0  in sync',
      '                └─ gra  ovh      plain  141 ms  ██████░░░░ 61%',
      '                        gen 40211 ✓  errors 0  in sync',
      '  scrub  2 d ago, clean, 61 GiB in 41 min · next Sun 03:00',
      '  kit  12 d old, current',
      'next: nothing to do',
    ])
  })

  it('healthy, ASCII', () => {
    expect(picture(healthy, { width: 80, unicode: false })).toEqual([
      'photos   HEALTHY   raid1 on 2 providers   61 of 100 GiB   /vault/photos',
      '  up 3 d 4 h',
      '  this machine -+- fsn  hetzner  ssh     23 ms  ######.... 61%',
      '                |       gen 40211 ok  errors 0  in sync',
      '                `- gra  ovh      plain  141 ms  ######.... 61%',
      '                        gen 40211 ok  errors 0  in sync',
      '  scrub  2 d ago, clean, 61 GiB in 41 min - next Sun 03:00',
      '  kit  12 d old, current',
      'next: nothing to do',
    ])
  })

  it('what the monitor costs, and that it comes up at boot', () => {
    const services = {
      monitor: 'running',
      monitorCost: { memoryBytes: 61 * 2 ** 20, cpuShare: 0.0042 },
      keeper: 'running',
      atBoot: true,
    } as const
    expect(picture({ ...healthy, services }, wide).at(-2)).toBe(
      '  scrub  2 d ago, clean, 61 GiB in 41 min · next Sun 03:00   kit  12 d old, current   monitor  61 MiB, 0.4 % of a core   comes up at boot',
    )
  })

  it('degraded: the reason first, the absent member with what it lacks, two ways on', () => {
    expect(picture(degraded, narrow)).toEqual([
      'photos   DEGRADED 14 min   one copy only: losing fsn now loses data',
      '  raid1 on 2 providers   61 of 100 GiB   /vault/photos   up 3 d 4 h',
      '  this machine ─┬─ fsn  hetzner  ssh  23 ms  ██████░░░░ 61%',
      '                │       gen 40388 ✓  errors 0  serving alone',
      '                └─ gra  ovh      ssh  no answer since 21:04 (patience 30 s)',
      '                        last gen 40211  177 behind  absent',
      '  scrub  2 d ago, clean, 61 GiB in 41 min · next Sun 03:00',
      '  kit  12 d old, current',
      'next: cloudvault resilver photos',
      '  or: cloudvault replace photos gra',
    ])
  })

  it('not mirrored: mounted, and not safe', () => {
    const report: StatusReport = {
      ...healthy,
      verdict: 'not mirrored',
      why: ['3 chunks have one copy only (written while gra was away)'],
      members: [fsn, { ...gra, errors: { ...none, read: 2, corruption: 1 }, mirror: 'stale' }],
      scrub: { state: 'aborted', finishedAt: '2026-11-21T21:00:00Z', corrected: 432 },
      kit: { state: 'outdated', writtenAt: '2026-11-01T21:18:00Z' },
      next: ['cloudvault resilver photos'],
    }
    expect(picture(report, narrow)).toEqual([
      'photos   NOT MIRRORED   3 chunks have one copy only (written while gra was away)',
      '  raid1 on 2 providers   61 of 100 GiB   /vault/photos   up 3 d 4 h',
      '  this machine ─┬─ fsn  hetzner  ssh     23 ms  ██████░░░░ 61%',
      '                │       gen 40211 ✓  errors 0  in sync',
      '                └─ gra  ovh      plain  141 ms  ██████░░░░ 61%',
      '                        gen 40211 ✓  errors 3 (read 2, corruption 1)  stale',
      '  scrub  18 min ago, not finished   kit  20 d old, older than the last change',
      'next: cloudvault resilver photos',
    ])
  })

  it('down: nothing is mounted, nothing is wrong', () => {
    const away = { state: 'down', note: 'not attached' } as const
    const report: StatusReport = {
      schema: 'cloudvault.status/1',
      at: healthy.at,
      vault: 'photos',
      verdict: 'down',
      why: [],
      redundancy: 'raid1',
      providers: 2,
      members: [fsn, gra].map(({ name, provider, link }) => ({
        name,
        provider,
        link: { kind: link.kind, ...away },
        generation: 40211,
        generationBehind: 0,
        mirror: 'in sync',
      })),
      next: ['cloudvault up photos'],
    }
    expect(picture(report, wide)).toEqual([
      'photos   DOWN   not mounted on this machine',
      '  raid1 on 2 providers',
      '  this machine ─┬─ fsn  hetzner  ssh    not attached   last gen 40211 ✓  in sync',
      '                └─ gra  ovh      plain  not attached   last gen 40211 ✓  in sync',
      'next: cloudvault up photos',
    ])
  })

  it('refused: nothing was mounted, every reason in full', () => {
    const report: StatusReport = {
      ...degraded,
      verdict: 'refused',
      why: [
        'every member is older than this machine remembers',
        'fsn serves generation 39800, the record says 40388: an old copy of the disk, or a restored backup',
      ],
      members: [
        { name: 'fsn', provider: 'hetzner', link: { kind: 'ssh', state: 'up' }, mirror: 'unknown' },
        { name: 'gra', provider: 'ovh', link: { kind: 'ssh', state: 'unknown' }, mirror: 'unknown' },
      ],
      next: ['cloudvault kit photos verify FILE'],
    }
    const { mountedAt, usedBytes, totalBytes, mountedMs, sinceMs, scrub, kit, ...bare } = report
    expect([mountedAt, usedBytes, totalBytes, mountedMs, sinceMs, scrub, kit]).not.toContain(undefined)
    expect(picture(bare, narrow)).toEqual([
      'photos   REFUSED   every member is older than this machine remembers',
      '  fsn serves generation 39800, the record says 40388: an old copy of the disk,',
      '  or a restored backup',
      '  raid1 on 2 providers',
      '  this machine ─┬─ fsn  hetzner  ssh',
      '                └─ gra  ovh      ssh  not looked at',
      'next: cloudvault kit photos verify FILE',
    ])
  })

  it('one member: no tree to draw, and no mirror to claim', () => {
    const report: StatusReport = {
      ...healthy,
      redundancy: 'single',
      providers: 1,
      members: [{ ...fsn, mirror: 'none', latencyMs: 0.2 }],
      scrub: { state: 'never' },
      kit: { state: 'missing' },
    }
    expect(picture(report, wide)).toEqual([
      'photos   HEALTHY   single, no mirror   61 of 100 GiB   /vault/photos   up 3 d 4 h',
      '  this machine ─── fsn  hetzner  ssh  <1 ms  ██████░░░░ 61%   gen 40211 ✓  errors 0  the only copy',
      '  scrub  never run   kit  none on record',
      'next: nothing to do',
    ])
  })

  it('three members', () => {
    const waw = { ...gra, name: 'waw', provider: 'upcloud' }
    const lines = picture({ ...healthy, redundancy: 'raid1c3', providers: 3, members: [fsn, gra, waw] }, wide)
    expect(lines.map((line) => line.slice(15, 23))).toContain(' ├─ gra ')
    expect(lines.map((line) => line.slice(15, 23))).toContain(' └─ waw ')
  })
})

describe('what holds for every picture', () => {
  const esc = '\u001b'
  const paint = (style: string, text: string) => `${esc}<${style}>${text}${esc}</>`

  const unmarked = (text: string) => text.replace(/^<(\w+|\/)>/, '')

  it('says everything in words: colours add nothing', () => {
    for (const report of [healthy, degraded]) {
      const coloured = picture(report, { ...narrow, paint }).join('\n')
      expect(coloured).toContain(esc)
      expect(coloured.split(esc).map(unmarked).join('')).toBe(picture(report, narrow).join('\n'))
    }
  })

  it('keeps to its width wherever the words allow it', () => {
    for (const report of [healthy, degraded]) {
      for (const line of picture(report, narrow)) expect(line.length).toBeLessThanOrEqual(80)
    }
  })

  it('stays one line a member in front of a hostile name or note', () => {
    const evil = `x${esc}[2J\nnext: rm -rf /`
    const report = {
      ...degraded,
      why: [evil],
      next: [evil],
      mountedAt: evil,
      members: degraded.members.map((member) => ({
        ...member,
        provider: evil,
        note: evil,
        link: { ...member.link, note: evil },
      })),
    }
    const lines = picture(report, wide)
    expect(lines.join('')).not.toContain(esc)
    expect(lines.filter((line) => line.startsWith('next:'))).toHaveLength(1)
  })
})
