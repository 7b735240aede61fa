import { expect, test } from 'vitest'
import { changedLines } from '../../../src/ui/difference.ts'

test.each([
  ['a\nb\nc', 'a\nB\nc', ['- b', '+ B']],
  ['a\nc', 'a\nb\nc', ['+ b']],
  ['a\na\na', 'a\na', ['- a']],
  ['', 'x', ['- ', '+ x']],
  ['same', 'same', []],
])('%j → %j', (before, after, lines) => {
  expect(changedLines(before, after)).toEqual(lines)
})
