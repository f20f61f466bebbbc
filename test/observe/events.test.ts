import { expect, test } from '@jest/globals'
import { createMetrics } from '../../src/observe/events.ts'

test('records count by source, format, outcome and reason, and as received', async () => {
  const metrics = createMetrics()
  metrics.events.recordsCounted({ source: 'http', format: 'hubble', outcome: 'stored', reason: '', records: 5 })
  metrics.events.recordsCounted({ source: 'http', format: 'hubble', outcome: 'rejected', reason: 'bad-port', records: 2 })
  const text = await metrics.render()
  expect(text).toContain('flowfence_ingest_records_received_total{source="http",format="hubble"} 7')
  expect(text).toContain('flowfence_ingest_records_total{source="http",format="hubble",outcome="stored",reason=""} 5')
  expect(text).toContain('flowfence_ingest_records_total{source="http",format="hubble",outcome="rejected",reason="bad-port"} 2')
})

test('labels come from closed lists: what clients invent becomes "other" or "unknown"', async () => {
  const metrics = createMetrics()
  metrics.events.recordsCounted({ source: 'http', format: 'evil"} 1', outcome: 'ignored', reason: 'blank', records: 1 })
  metrics.events.requestServed({ method: 'BREW', route: 'unmatched', status: 404, seconds: 0.1 })
  const text = await metrics.render()
  expect(text).toContain('format="unknown"')
  expect(text).toContain('flowfence_http_requests_total{method="other",route="unmatched",status="404"} 1')
  expect(text).not.toMatch(/evil|BREW/)
})

test('every metric begins with flowfence_', async () => {
  const names = (await createMetrics().render()).split('\n').filter((line) => line.startsWith('# TYPE ')).map((line) => line.split(' ')[2])
  expect(names.length).toBeGreaterThan(10)
  expect(names.filter((name) => name?.startsWith('flowfence_') !== true)).toEqual([])
})
