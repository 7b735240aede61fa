import { expect, test } from 'vitest'
import { faultKinds, faultsOf, type PlannedFault } from '../../../lab/soak/plan.ts'

const some = (seed: number, count: number): PlannedFault[] => {
  const faults = faultsOf(seed, ['fsn', 'gra'])
  return Array.from({ length: count }, () => faults.next().value)
}

test('the same seed gives the same faults, another one others', () => {
  expect(some(7, 40)).toEqual(some(7, 40))
  expect(some(8, 40)).not.toEqual(some(7, 40))
})

test('every round has every kind once, and the members are hit in turn', () => {
  const faults = some(3, faultKinds.length * 2)
  expect(new Set(faults.slice(0, faultKinds.length).map(({ kind }) => kind))).toEqual(new Set(faultKinds))
  for (const [index, fault] of faults.entries()) {
    expect(fault.member).not.toBe(faults[index + 1]?.member)
    expect(fault.seconds).toBeGreaterThanOrEqual(2)
    expect(fault.seconds).toBeLessThanOrEqual(5)
  }
})
