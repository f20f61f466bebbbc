import { expect, test } from '@jest/globals'
import { CoverageNotes } from '../../../src/core/normalize/coverage-notes.ts'
import { START_US } from '../../support/flow-records.ts'

const HOUR_US = 3_600_000_000

test('a sign is noted once per hour, node and detail, at the beginning of the hour', () => {
  const notes = new CoverageNotes()
  for (let i = 0; i < 100; i++) for (const node of ['n1', 'n2']) notes.note('sampling', START_US + i, node, 'sampling 1:50')
  notes.note('sampling', START_US + HOUR_US + 5, 'n1', 'sampling 1:50')
  expect(notes.take()).toEqual([
    { type: 'sampling', atUs: START_US, node: 'n1', lost: 0, detail: 'sampling 1:50' },
    { type: 'sampling', atUs: START_US, node: 'n2', lost: 0, detail: 'sampling 1:50' },
    { type: 'sampling', atUs: START_US + HOUR_US, node: 'n1', lost: 0, detail: 'sampling 1:50' },
  ])
})

test('taken once; what comes after is noted again', () => {
  const notes = new CoverageNotes()
  notes.note('aggregation', START_US, 'n1', 'level 3')
  expect(notes.take()).toHaveLength(1)
  expect(notes.take()).toEqual([])
  notes.note('aggregation', START_US, 'n1', 'level 3')
  expect(notes.take()).toHaveLength(1)
})

test('a source that names ever new nodes fills no memory', () => {
  const notes = new CoverageNotes()
  for (let i = 0; i < 50_000; i++) notes.note('sampling', START_US, `n${i}`, 'x')
  expect(notes.take()).toHaveLength(10_000)
})
