import { expect, test } from '@jest/globals'
import { FlowBlockReader, FlowBlockWriter, FlowView } from '../../../src/core/flow/flow-block.ts'
import type { FlowBlock, FlowRows } from '../../../src/core/flow/flow-block.ts'
import { presenceWindows } from '../../../src/core/flow/edge.ts'
import type { FlowRecord } from '../../../src/core/flow/flow-record.ts'
import { adoptIdentity } from '../../../src/core/flow/identity.ts'
import type { Identity } from '../../../src/core/flow/identity.ts'
import { anyFlow, plainFlow } from '../../support/any-flows.ts'
import { flowRecord, START_US } from '../../support/flow-records.ts'
import { createRandom, rounds } from '../../support/random.ts'

function flowsOf(rows: FlowRows): object[] {
  const view = new FlowView()
  return Array.from({ length: rows.length }, (_, i) => {
    rows.show(i, view)
    return plainFlow(view)
  })
}

test('a reader gives back exactly the flows that were added, over any number of blocks', () => {
  for (let seed = 1; seed <= rounds({ small: 8, full: 300 }); seed++) {
    const random = createRandom(seed)
    const writer = new FlowBlockWriter()
    const reader = new FlowBlockReader()
    const read: FlowRows[] = []
    const added: FlowRecord[][] = []
    for (let block = 0; block < 1 + random.int(6); block++) {
      const flows = Array.from({ length: random.int(random.chance(0.1) ? 2_000 : 60) }, () => anyFlow(random))
      for (const flow of flows) writer.add(flow)
      expect(writer.flows).toBe(flows.length)
      const taken = writer.take()
      expect(taken).toMatchObject({
        flows: flows.length, minLastAtUs: Math.min(...flows.map((f) => f.lastAtUs)), maxLastAtUs: Math.max(...flows.map((f) => f.lastAtUs)),
        windowRows: flows.reduce((sum, flow) => sum + presenceWindows(flow), 0), isReset: block === 0,
      })
      added.push(flows)
      read.push(reader.read(taken))
    }
    // Read after all of them: an earlier block stays readable when later ones have come.
    expect(read.map(flowsOf)).toEqual(added.map((flows) => flows.map(plainFlow)))
  }
})

test('identities are the same objects in one thread, and adopted once each in another', () => {
  const random = createRandom(7)
  const flows = Array.from({ length: 2_000 }, () => anyFlow(random))
  const writer = new FlowBlockWriter()
  const blocks: FlowBlock[] = []
  for (const part of [flows.slice(0, 900), flows.slice(900)]) {
    for (const flow of part) writer.add(flow)
    blocks.push(writer.take())
  }
  const own = new FlowBlockReader()
  const view = new FlowView()
  own.read(blocks[0] as FlowBlock).show(3, view)
  expect(view.initiator).toBe(flows[3]?.initiator)

  const adopted: Identity[] = []
  const other = new FlowBlockReader((identity) => {
    const mine = adoptIdentity(identity)
    adopted.push(mine)
    return mine
  })
  // As between threads: the arrays move, the rest is copied.
  const moved = blocks.map((block) => structuredClone(block, { transfer: [block.times.buffer, block.words.buffer] }))
  const rows = moved.map((block) => other.read(block))
  expect(rows.flatMap(flowsOf)).toEqual(flows.map(plainFlow))
  expect(adopted).toHaveLength(new Set(flows.flatMap((f) => [f.initiator, f.responder])).size)
  expect(new Set(adopted.map((identity) => identity.index)).size).toBe(adopted.length)
  rows[1]?.show(0, view)
  expect(adopted).toContain(view.initiator)
})

test('ends are sent once, until numbering starts anew; blocks before that stay readable', () => {
  const writer = new FlowBlockWriter()
  const reader = new FlowBlockReader()
  const add = (from: number, to: number): void => {
    for (let i = from; i < to; i++) writer.add(flowRecord({ firstAtUs: START_US, initiatorIp: `10.${i >>> 16}.${(i >>> 8) & 255}.${i & 255}`, digestLo: i }))
  }
  add(0, 1000)
  const first = writer.take()
  expect(first.ends).toHaveLength(1001)
  add(0, 1000)
  expect(writer.take()).toMatchObject({ ends: [], identities: [], isReset: false })
  const firstRows = reader.read(first)
  add(0, 200_500)
  const many = writer.take()
  expect(many).toMatchObject({ isReset: false })
  const manyRows = reader.read(many)
  add(5, 7)
  const anew = writer.take()
  expect(anew).toMatchObject({ isReset: true, flows: 2 })
  expect(anew.ends).toHaveLength(3)
  const view = new FlowView()
  const ipsOf = (rows: FlowRows, ...places: number[]): string[] => places.map((i) => { rows.show(i, view); return view.initiatorIp })
  expect(ipsOf(reader.read(anew), 0, 1)).toEqual(['10.0.0.5', '10.0.0.6'])
  expect(ipsOf(firstRows, 0, 999)).toEqual(['10.0.0.0', '10.0.3.231'])
  expect(ipsOf(manyRows, 200_499)).toEqual([`10.3.${(200_499 >>> 8) & 255}.${200_499 & 255}`])
})

test('a block that is missing is noticed: its ends are those of later blocks, too', () => {
  const [writer, reader] = [new FlowBlockWriter(), new FlowBlockReader()]
  const block = (initiatorIp: string): FlowBlock => {
    writer.add(flowRecord({ initiatorIp }))
    return writer.take()
  }
  reader.read(block('10.0.0.1'))
  block('10.0.0.2')
  expect(() => reader.read(block('10.0.0.3'))).toThrow('out of order')
})
