import { describe, expect, test } from '@jest/globals'
import type { ClusterHistory, HistoryPod } from '../../../../src/core/cluster/cluster-history.ts'
import { createNormalizer } from '../../../../src/core/normalize/normalizer.ts'
import { createRandom, rounds, type Random } from '../../../support/random.ts'

interface EndColumns {
  readonly text: string
  readonly row: { readonly type: string; readonly namespace: string; readonly name: string; readonly name_aggr: string; readonly labels: { readonly labels: readonly string[] } | null }
}

/** What a line and a row say of the same end. */
function endOf(random: Random): EndColumns {
  const [type = '', namespace = '', column = '', name = '', aggregate = ''] = random.pick([
    ['wep', 'shop', 'web-7d4b9c6f58-*', '-', 'web-7d4b9c6f58-*'], ['wep', 'shop', 'web-7d4b9c6f58*', '-', 'web-7d4b9c6f58-*'], ['wep', 'shop', 'web-7d4b9c6f58-x2k9p', 'web-7d4b9c6f58-x2k9p', '-'],
    ['wep', 'shop', 'db-0', 'db-0', '-'], ['wep', 'other', 'db-0', 'db-0', '-'], ['hep', '-', 'worker-1', '-', 'worker-1'], ['hep', '-', 'worker-2', '-', 'worker-2'],
    ['ns', '-', 'partners', '-', 'partners'], ['net', '-', 'pub', '-', 'pub'], ['net', '-', 'pvt', '-', 'pvt'],
  ])
  const labels = random.pick([null, [], ['app=web'], ['app=web', 'note=a=b'], ['app=db']])
  return {
    text: `${type} ${namespace} ${column} ${labels === null ? '-' : `[${labels.join(',')}]`}`,
    row: { type, namespace, name, name_aggr: aggregate, labels: labels === null ? null : { labels } },
  }
}

const ROUNDS = rounds({ small: 3000, full: 10_000 })
const IPS = ['-', '-', '10.244.1.10', '10.244.2.20', '203.0.113.9', '224.0.0.1', '172.18.0.2']
const numberOf = (text: string): number | null => (text === '-' ? null : Number(text))

/** A line, and the row with the same values. */
function pairOf(random: Random): { line: string; row: Record<string, unknown> } {
  const [from, to] = [endOf(random), endOf(random)]
  const [start, end] = random.pick<[string, string]>([['1767323045', '1767323345'], ['1767323045', '1767323045'], ['1767323345', '1767323645']])
  const [sourceIp, destinationIp, proto, action] = [random.pick(IPS), random.pick(IPS), random.pick(['6', '17', 'tcp', '1']), random.pick(['allow', 'deny'])]
  const [reporterText, reporter] = random.pick<[string, string]>([['out', 'src'], ['in', 'dst'], ['src', 'src'], ['dst', 'dst']])
  const [sourcePort, port] = [random.pick(['-', '40000', '0']), random.pick(['5432', '80', '-', '443'])]
  const counts = Array.from({ length: 7 }, () => random.pick(['-', '0', '1', '7', '70111', '4294967296']))
  const row: Record<string, unknown> = { start_time: Number(start), end_time: Number(end), source_ip: sourceIp, dest_ip: destinationIp, proto, action, reporter, source_port: numberOf(sourcePort), dest_port: numberOf(port) }
  for (const [key, value] of Object.entries(from.row)) row[`source_${key}`] = value
  for (const [key, value] of Object.entries(to.row)) row[`dest_${key}`] = value
  for (const [i, key] of ['num_flows', 'num_flows_started', 'num_flows_completed', 'packets_in', 'packets_out', 'bytes_in', 'bytes_out'].entries()) row[key] = numberOf(counts[i] ?? '-')
  const line = [start, end, from.text, to.text, sourceIp, destinationIp, proto, sourcePort, port, ...counts.slice(0, 3), reporterText, ...counts.slice(3), action].join(' ')
  return { line, row }
}

const known: HistoryPod = {
  namespace: 'shop', name: 'db-0', labels: { app: 'db' }, namespaceLabels: {}, workload: { kind: 'StatefulSet', name: 'db' }, hostNetwork: false, nodeName: 'worker-2', ports: [],
}
/** Knows `db-0` until between the windows, by name and by address. */
const history: ClusterHistory = {
  holderOf: (ip, atUs) => (ip === '10.244.2.20' && atUs < 1_767_323_400_000_000 ? { kind: 'pod', pod: known } : { kind: 'unknown' }),
  podNamed: (namespace, name, atUs) => (namespace === 'shop' && name === 'db-0' && atUs < 1_767_323_400_000_000 ? known : undefined),
  backendsOf: () => undefined,
}

const open = (): ReturnType<typeof createNormalizer> => createNormalizer({ cluster: 'c1', podCidrs: ['10.244.0.0/16'], history: () => history })

describe('ordinary space-delimited lines', () => {
  test('give what rows with the same values give, however often their ends came before', () => {
    const random = createRandom(12)
    const normalizer = open()
    const digests = new Map<string, string>()
    for (let i = 0; i < ROUNDS; i++) {
      const { line, row } = pairOf(random)
      const outcome = normalizer.normalize(line)
      const asRow = normalizer.normalize(row)
      if (outcome.kind !== 'flow' || asRow.kind !== 'flow') {
        expect(outcome).toEqual(asRow)
        continue
      }
      expect({ ...outcome, digestHi: 0, digestLo: 0 }).toEqual({ ...asRow, digestHi: 0, digestLo: 0 })
      const digest = `${outcome.digestHi}-${outcome.digestLo}`
      // Two ways to write one row are one record; all else is another one.
      const same = `${asRow.digestHi}-${asRow.digestLo}`
      expect(digests.get(digest) ?? same).toBe(same)
      digests.set(digest, same)
    }
    expect(new Set(digests.values()).size).toBe(digests.size)
    expect(digests.size).toBeGreaterThan(ROUNDS / 4)
  })

  test('note what aggregation dropped, as rows do', () => {
    const line = '1767323045 1767323345 wep shop web-7d4b9c6f58-* [app=web] net - pub - - - 6 - 443 7 3 4 out 154 61 70111 49404 allow'
    const normalizer = open()
    expect(normalizer.normalize(line)).toMatchObject({ kind: 'flow', responder: { kind: 'external' } })
    expect(normalizer.takeCoverage()).toMatchObject([{ type: 'aggregation', detail: 'Calico aggregation level 2: outside addresses are missing' }])
  })
})
