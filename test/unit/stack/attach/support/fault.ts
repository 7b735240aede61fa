import { expect } from 'vitest'
import { Fault } from '../../../../../src/fault.ts'

/** The Fault that the work ends with; anything else, success included, fails the test. */
export async function faultOf(work: () => unknown): Promise<Fault> {
  try {
    await work()
  } catch (error) {
    expect(error).toBeInstanceOf(Fault)
    return error as Fault
  }
  throw new Error('expected a Fault, but it succeeded')
}
