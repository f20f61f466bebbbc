import { describe, expect, test } from '@jest/globals'
import { createNormalizer } from '../../../src/core/normalize/normalizer.ts'
import { flow, pod, type Json } from './hubble-records.ts'

const KAFKA = pod('kafka/broker-0', 'app=kafka')
const SHIPPER = pod('logging/fluent-bit-x2k9p', 'app=fluent-bit')
const WEB = pod('shop/web-7d4b9c6f58-x2k9p', 'app=web')

const normalizer = createNormalizer({ cluster: 'c1', ownWorkloads: ['logging', 'kafka/broker'] })

function outcome(source: Json, destination: Json): string {
  const result = normalizer.normalize(flow({ source, destination, l4: { TCP: { source_port: 40_000, destination_port: 9092, flags: { SYN: true } } } }))
  return result.kind === 'ignored' ? `${result.format} ${result.reason}` : result.kind
}

describe('the collector\'s own workloads', () => {
  test('are left out where they talk to each other, in both directions', () => {
    expect(outcome(SHIPPER, KAFKA)).toBe('hubble self')
    expect(outcome(KAFKA, SHIPPER)).toBe('hubble self')
    expect(outcome(SHIPPER, SHIPPER)).toBe('hubble self')
  })

  test('are seen where they talk to others: an application that reaches Kafka needs a rule', () => {
    expect(outcome(WEB, KAFKA)).toBe('flow')
    expect(outcome(SHIPPER, WEB)).toBe('flow')
    expect(outcome(SHIPPER, { identity: 2, labels: ['reserved:world'] })).toBe('flow')
  })

  test('are those of the named workload only, in this cluster only', () => {
    expect(outcome(SHIPPER, pod('kafka/console-7d4b9c6f58-x2k9p', 'app=console'))).toBe('flow')
    expect(outcome({ ...SHIPPER, cluster_name: 'east' }, { ...KAFKA, cluster_name: 'west' })).toBe('flow')
  })

  test('are nobody unless configured', () => {
    expect(createNormalizer({ cluster: 'c1' }).normalize(flow({ source: SHIPPER, destination: KAFKA })).kind).toBe('flow')
  })

  test('of every format', () => {
    expect(normalizer.normalize({
      connection: { src_ip: '10.0.1.1', dest_ip: '10.0.1.2', dest_port: 9092, protocol: 'tcp', direction: 'egress' }, disposition: 'allow', timestamp: '2026-01-02T03:04:05Z',
      src: { pod_name: 'fluent-bit-x2k9p', pod_namespace: 'logging' }, dest: { pod_name: 'broker-0', pod_namespace: 'kafka' },
    })).toEqual({ kind: 'ignored', format: 'gke', reason: 'self', coverage: null })
  })
})
