import { rmSync, writeFileSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { climb } from '../../../src/engine/climb.ts'
import { Receipt } from '../../../src/engine/receipt.ts'
import type { Step } from '../../../src/engine/step.ts'
import { unwind } from '../../../src/engine/unwind.ts'
import { Exit, Fault } from '../../../src/fault.ts'
import type { Host } from '../../../src/host/host.ts'

/** The shape of a real vault: two chains of a member each that meet in one mount. */
const shape: readonly (readonly [string, readonly string[]])[] = [
  ['kernel', []],
  ['session a', []],
  ['link a', ['session a']],
  ['attach a', ['kernel', 'link a']],
  ['open a', ['attach a']],
  ['session b', []],
  ['link b', ['session b']],
  ['attach b', ['kernel', 'link b']],
  ['open b', ['attach b']],
  ['assemble', ['open a', 'open b']],
  ['mount', ['assemble']],
]
const names = shape.map(([name]) => name)

/** A machine on which steps can stand, and whose commands fail when told to. */
class World {
  readonly standing = new Set<string>()
  /** "up open a" or "down open a": fails when it is run. */
  readonly failing = new Set<string>()
  readonly log: string[] = []
  onUp: (name: string) => void = () => {}
  onDown: (name: string) => void = () => {}

  readonly host: Host = {
    name: 'here',
    run: async ({ argv }) => {
      const [direction = '', ...words] = argv
      const name = words.join(' ')
      this.log.push(argv.join(' '))
      if (direction === 'up') {
        for (const need of shape.find(([step]) => step === name)?.[1] ?? []) {
          if (!this.standing.has(need)) throw new Error(`${name} was begun before ${need} stood`)
        }
      } else {
        const above = shape.find(([step, needs]) => needs.includes(name) && this.standing.has(step))
        if (above) throw new Error(`${name} was pulled from under ${above[0]}`)
      }
      if (this.failing.has(argv.join(' '))) return { code: 1, stdout: '', stderr: 'told to fail' }
      if (direction === 'up') this.standing.add(name)
      else this.standing.delete(name)
      if (direction === 'up') this.onUp(name)
      else this.onDown(name)
      return { code: 0, stdout: '', stderr: '' }
    },
  }

  steps(): Step[] {
    return shape.map(([name, needs]) => ({
      name,
      needs,
      probe: async () => (this.standing.has(name) ? { is: 'present' } : { is: 'absent' }),
      up: [{ on: this.host, command: { argv: ['up', ...name.split(' ')] } }],
      down: [{ on: this.host, command: { argv: ['down', ...name.split(' ')] } }],
    }))
  }
}

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cv-engine-'))
})
afterEach(() => rm(folder, { recursive: true }))

const receiptIn = (): Promise<Receipt> => Receipt.open(join(folder, 'receipt.json'), 'boot', () => false)
const quiet = () => {}
const calm = new AbortController().signal

describe('unwinding a plan', () => {
  test('says of every step whether it was undone, was not there or stays', async () => {
    const world = new World()
    const steps = world.steps().map((step) => (step.name === 'kernel' ? { ...step, down: [] } : step))
    const receipt = await receiptIn()
    await climb(steps, { receipt, signal: calm, observe: quiet })
    world.standing.delete('mount')
    const said = new Map<string, string>()
    const observe = (event: { step: string; state: string }) => void said.set(event.step, event.state)
    await unwind(steps, { receipt, observe }, () => true)
    expect(said.get('mount')).toBe('absent')
    expect(said.get('kernel')).toBe('kept')
    expect([...said.values()].filter((state) => state === 'undone')).toHaveLength(names.length - 2)
  })
})

describe('climbing a plan', () => {
  test('the last word about a step that failed is that it failed', async () => {
    const world = new World()
    world.failing.add('up mount')
    const said = new Map<string, string>()
    const observe = (event: { step: string; state: string }) => void said.set(event.step, event.state)
    await expect(
      climb(world.steps(), { receipt: await receiptIn(), signal: calm, observe }),
    ).rejects.toBeInstanceOf(Fault)
    expect(said.get('mount')).toBe('failed')
    expect(said.get('open a')).toBe('undone')
  })

  test('everything stands afterwards, and the receipt says that it is ours', async () => {
    const world = new World()
    const receipt = await receiptIn()
    const climbed = await climb(world.steps(), { receipt, signal: calm, observe: quiet })
    expect(world.standing).toEqual(new Set(names))
    expect(climbed.made).toHaveLength(names.length)
    const reread = await receiptIn()
    expect(names.map((name) => reread.state(name))).toEqual(names.map(() => 'made'))
  })

  test('a second climb runs no command', async () => {
    const world = new World()
    const receipt = await receiptIn()
    await climb(world.steps(), { receipt, signal: calm, observe: quiet })
    const before = world.log.length
    const again = await climb(world.steps(), { receipt, signal: calm, observe: quiet })
    expect(world.log.length).toBe(before)
    expect(again.made).toEqual([])
  })

  for (const name of names) {
    test(`when ${name} fails, nothing is left behind`, async () => {
      const world = new World()
      world.failing.add(`up ${name}`)
      const receipt = await receiptIn()
      const error = await climb(world.steps(), { receipt, signal: calm, observe: quiet }).catch((e) => e)
      expect(error).toBeInstanceOf(Fault)
      expect(error.details.stands).toContain('nothing of this run is left behind')
      expect([...world.standing]).toEqual([])
      expect(receipt.steps).toEqual([])
    })

    test(`interrupted once ${name} stands: undone, exit 130`, async () => {
      const world = new World()
      const controller = new AbortController()
      world.onUp = (made) => {
        if (made === name) controller.abort()
      }
      const receipt = await receiptIn()
      const outcome = await climb(world.steps(), {
        receipt,
        signal: controller.signal,
        observe: quiet,
      }).catch((e) => e)
      expect(outcome).toBeInstanceOf(Fault)
      expect(outcome.exit).toBe(Exit.interrupted)
      expect([...world.standing]).toEqual([])
    })

    test(`when undoing ${name} fails too, what lies beneath it keeps standing and is named`, async () => {
      const world = new World()
      const receipt = await receiptIn()
      await climb(world.steps(), { receipt, signal: calm, observe: quiet })
      world.failing.add(`down ${name}`)
      const left = await unwind(world.steps(), { receipt, observe: quiet }, () => true)
      expect(left.failures.map((failure) => failure.step)).toEqual([name])
      expect(world.standing).toEqual(new Set(left.standing))
      expect(world.standing.has(name)).toBe(true)
      world.failing.clear()
      const rest = await unwind(world.steps(), { receipt, observe: quiet }, () => true)
      expect(rest.failures).toEqual([])
      expect([...world.standing]).toEqual([])
    })

    test(`interrupted going down once ${name} is undone: what stands is named, and the next down goes on`, async () => {
      const world = new World()
      const receipt = await receiptIn()
      await climb(world.steps(), { receipt, signal: calm, observe: quiet })
      const controller = new AbortController()
      world.onDown = (undone) => {
        if (undone === name) controller.abort()
      }
      const run = { receipt, observe: quiet }
      const left = await unwind(world.steps(), run, () => true, controller.signal)
      expect(left.failures).toEqual([])
      expect(left.undone).toContain(name)
      expect(new Set(left.standing)).toEqual(world.standing)
      expect(left.interrupted).toBe(world.standing.size > 0)
      await unwind(world.steps(), run, () => true)
      expect([...world.standing]).toEqual([])
    })

    test(`killed while ${name} was being made: the next down finishes`, async () => {
      const world = new World()
      const receipt = await receiptIn()
      // As kill -9 leaves it: everything below stands, the step itself is marked and half done or not at all.
      const until = names.indexOf(name)
      for (const below of names.slice(0, until)) {
        world.standing.add(below)
        await receipt.mark(below, 'made')
      }
      await receipt.mark(name, 'making')
      const left = await unwind(world.steps(), { receipt: await receiptIn(), observe: quiet }, () => true)
      expect(left.failures).toEqual([])
      expect([...world.standing]).toEqual([])
    })
  }

  test('what was there before is found, not made, and down leaves it', async () => {
    const world = new World()
    world.standing.add('kernel')
    const steps = world.steps().map((step) => (step.name === 'kernel' ? { ...step, shared: true } : step))
    const receipt = await receiptIn()
    await climb(steps, { receipt, signal: calm, observe: quiet })
    expect(receipt.state('kernel')).toBe('found')
    await unwind(steps, { receipt, observe: quiet }, () => true)
    expect([...world.standing]).toEqual(['kernel'])
  })

  test('what stands half made is settled by the next run, what is whole is not', async () => {
    const world = new World()
    for (const name of names) world.standing.add(name)
    const receipt = await receiptIn()
    for (const name of names) await receipt.mark(name, name === 'open a' ? 'making' : 'made')
    const steps = world.steps().map((step) => ({
      ...step,
      settle: [{ on: world.host, text: '', call: async () => world.log.push(`settle ${step.name}`) }],
    }))
    await climb(steps, { receipt, signal: calm, observe: quiet })
    expect(world.log).toEqual(['settle open a'])
    expect(receipt.state('open a')).toBe('made')
  })

  test('a failed look is not a "no": nothing is made', async () => {
    const world = new World()
    const steps = world
      .steps()
      .map((step) =>
        step.name === 'open a'
          ? { ...step, probe: async () => ({ is: 'unknown' as const, why: 'EIO' }) }
          : step,
      )
    const error = await climb(steps, { receipt: await receiptIn(), signal: calm, observe: quiet }).catch(
      (e) => e,
    )
    expect(error.exit).toBe(Exit.unreachable)
    expect(world.log).not.toContain('up open a')
  })

  test('without a receipt everything that bears our name is undone all the same', async () => {
    const world = new World()
    for (const name of names) world.standing.add(name)
    const left = await unwind(world.steps(), { receipt: await receiptIn(), observe: quiet }, () => true)
    expect(left.failures).toEqual([])
    expect([...world.standing]).toEqual([])
  })

  test('a damaged receipt counts as lost, and a copy of it is kept', async () => {
    const garbage = '{"schema": "cloudvault.receipt/1", "steps": ['
    await writeFile(join(folder, 'receipt.json'), garbage)
    const receipt = await receiptIn()
    expect(receipt.steps).toEqual([])
    expect(await readFile(receipt.damaged ?? '', 'utf8')).toBe(garbage)
    await receipt.mark('kernel', 'made')
    expect((await receiptIn()).damaged).toBeNull()
  })

  test('a receipt that cannot be written: the step is not run, and everything before it is undone', async () => {
    const world = new World()
    const state = join(folder, 'state')
    const receipt = await Receipt.open(join(state, 'receipt.json'), 'boot', () => false)
    world.onUp = (name) => {
      // From here on its directory is a file: as good as a full disk, and root cannot write there either.
      if (name !== 'link a') return
      rmSync(state, { recursive: true })
      writeFileSync(state, '')
    }
    const error = await climb(world.steps(), { receipt, signal: calm, observe: quiet }).catch((e) => e)
    expect(error.exit).toBe(Exit.missing)
    expect(error.message).toContain('the receipt')
    expect(world.log).not.toContain('up attach a')
    expect([...world.standing]).toEqual([])
    await rm(state)
    await receipt.mark('kernel', 'made') // one failed write does not spoil the next
    expect(receipt.state('kernel')).toBe('made')
  })
})
