import { describe, expect, test } from '@jest/globals'
import { renderTable } from '../../../src/deliver/render/text-table.ts'
import { wrapText } from '../../../src/deliver/render/wrap-text.ts'

const COLUMNS = [{ title: 'from' }, { title: 'port', align: 'right' }] as const

describe('tables', () => {
  test('align their columns, numbers to the right', () => {
    expect(renderTable(COLUMNS, [['shop/web', 80], ['a', 15432]])).toBe('  FROM       PORT\n  shop/web     80\n  a         15432\n')
  })

  test('show only the head without rows', () => {
    expect(renderTable(COLUMNS, [])).toBe('  FROM  PORT\n')
  })

  test('are at most 100 columns wide and lose no character', () => {
    const long = `shop/${'x'.repeat(150)}`
    const text = renderTable([{ title: 'a' }, { title: 'b' }, { title: 'c' }], [[long, 'word '.repeat(40).trim(), 'short']])
    expect(text.split('\n').every((line) => line.length <= 100)).toBe(true)
    expect(text.match(/x/g)).toHaveLength(150)
    expect(text.match(/word/g)).toHaveLength(40)
  })

  test('break long names after a separator', () => {
    const name = `kube-system/${'part-'.repeat(20)}end`
    for (const line of renderTable([{ title: 'a' }, { title: 'b' }], [[name, 'y'.repeat(60)]]).split('\n').slice(1, -1)) expect(line.split('  ')[1]).toMatch(/(-|\/|end)$/)
  })

  test('escape hostile cells and never colour', () => {
    const text = renderTable(COLUMNS, [['\u001b[31mred\u001b[0m', 1]], ['note \u001b[2J'])
    expect(text).not.toContain('\u001b')
    expect(text).toContain('\\e[31mred\\e[0m')
  })

  test('put the note of a row below it', () => {
    expect(renderTable(COLUMNS, [['a', 1], ['b', 2]], ['first note', 'second note'])).toBe('  FROM  PORT\n  a        1\n      first note\n  b        2\n      second note\n')
  })
})

test('wrapped text keeps every word and stays within 100 columns', () => {
  const words = Array.from({ length: 90 }, (_, i) => `word${i}`)
  const text = wrapText(words.join(' '), '  ', '      ')
  expect(text.trim().split(/\s+/)).toEqual(words)
  expect(text.split('\n').every((line) => line.length <= 100)).toBe(true)
  expect(text.split('\n')[1]).toMatch(/^ {6}word/)
})
