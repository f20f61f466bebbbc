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

test('a round of housekeeping counts its work, its failures and how far it is behind', async () => {
  const metrics = createMetrics()
  metrics.events.houseKept({ folded: 3, rolled: 2, expired: 1, watermarkLagUs: 660_000_000, failures: ['expire-flows'] })
  const text = await metrics.render()
  for (const line of ['units_total{step="folded"} 3', 'units_total{step="rolled"} 2', 'units_total{step="expired"} 1', 'failures_total{step="expire-flows"} 1']) {
    expect(text).toContain(`flowfence_housekeeping_${line}`)
  }
  expect(text).toContain('flowfence_rollup_lag_seconds 660')
  metrics.events.houseKept({ folded: 0, rolled: 0, expired: 0, watermarkLagUs: undefined, failures: [] })
  expect(await metrics.render()).toContain('flowfence_rollup_lag_seconds 0')
})
