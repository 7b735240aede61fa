import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import attacks from '../../attacks/table.json' with { type: 'json' }
import drills from '../../lab/drills/table.json' with { type: 'json' }

/** The tables are what is promised: no empty cell, no row without a test. */

const tables = [
  { word: 'drill', folder: 'test/lab/drills', cells: ['name', 'title', 'inject', 'expected'], rows: drills },
  {
    word: 'attack',
    folder: 'test/attacks',
    cells: ['name', 'title', 'inject', 'noticedBy', 'sees'],
    rows: attacks,
  },
]

describe.each(tables)('the table of every $word', ({ word, folder, cells, rows }) => {
  test('has no empty cell and counts from one', () => {
    for (const [index, row] of rows.entries()) {
      expect(row.no).toBe(index + 1)
      for (const cell of cells)
        expect((row as Record<string, unknown>)[cell], `${row.name}: ${cell}`).toMatch(/\S{2}/)
    }
    expect(new Set(rows.map((row) => row.name)).size).toBe(rows.length)
  })

  test('has a test for every row', () => {
    for (const row of rows as readonly {
      no: number
      file?: string
      drill?: number
      lab?: { file: string; test: string }
      notHere?: string
    }[]) {
      if (row.notHere !== undefined) continue
      if (row.lab !== undefined) {
        expect(readFileSync(row.lab.file, 'utf8')).toContain(`test('${row.lab.test}'`)
        continue
      }
      if (row.drill !== undefined) {
        expect(drills.find(({ no }) => no === row.drill)).toBeDefined()
        continue
      }
      const file = `${folder}/${row.file}.test.ts`
      expect(existsSync(file) && readFileSync(file, 'utf8'), file).toMatch(
        new RegExp(`\\b${word}\\(\\s*${row.no},`),
      )
    }
  })
})
