import { expect, test } from 'vitest'
import { together } from '../../../src/engine/together.ts'

test('gives every result in order', async () => {
  expect(await together([Promise.resolve(1), Promise.resolve(2)])).toEqual([1, 2])
})

test('a failure is thrown only when the slower ones have ended', async () => {
  const ended: string[] = []
  const slow = new Promise<void>((resolve) =>
    setTimeout(() => {
      ended.push('slow')
      resolve()
    }, 20),
  )
  await expect(together([Promise.reject(new Error('first')), slow])).rejects.toThrow('first')
  expect(ended).toEqual(['slow'])
})
