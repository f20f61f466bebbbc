import { expect, test } from '@jest/globals'
import { flowCode, flowFacts } from '../../../src/core/flow/flow-codes.ts'
import { FLOW_FORMATS, PROTOCOLS } from '../../../src/core/flow/flow-record.ts'
import { ORIENTATIONS, SIDES, VERDICTS } from '../../support/any-flows.ts'
import { flowRecord } from '../../support/flow-records.ts'

test('every combination of words has a number of its own, which a smallint holds and which gives the words back', () => {
  const codes = new Set<number>()
  for (const protocol of PROTOCOLS) for (const side of SIDES) for (const observedVerdict of VERDICTS) for (const orientation of ORIENTATIONS) for (const format of FLOW_FORMATS) {
    const words = { protocol, side, observedVerdict, orientation, format }
    const code = flowCode(flowRecord(words))
    codes.add(code)
    expect(code).toBeGreaterThanOrEqual(0)
    expect(code).toBeLessThanOrEqual(32_767)
    expect(flowFacts(code)).toEqual(words)
  }
  expect(codes.size).toBe(PROTOCOLS.length * SIDES.length * VERDICTS.length * ORIENTATIONS.length * FLOW_FORMATS.length)
})

test('numbers are stored, so they never change', () => {
  expect(flowCode(flowRecord({ protocol: 'TCP', side: 'client', observedVerdict: 'allowed', orientation: 'unoriented', format: 'hubble' }))).toBe(0)
  expect(flowCode(flowRecord({ protocol: 'SCTP', side: 'unknown', observedVerdict: 'unknown', orientation: 'conntrack', format: 'aws-vpc-cni' }))).toBe(2 + 4 * 2 + 16 * 4 + 128 * 4 + 1024 * 6)
})
