import type { IngestReport } from '../../pipeline/ingest-report.ts'
import type { OutcomeCount } from '../render/ingest-text.ts'

/** The counts of a report as rows: one per format, outcome and reason. */
export function countsOf(report: IngestReport, source: string): OutcomeCount[] {
  return Object.entries(report.byFormat).flatMap(([format, counts]) => {
    const row = (outcome: OutcomeCount['outcome'], reason: string, records: number): OutcomeCount => ({ source, format, outcome, reason, records })
    return [
      row('stored', '', counts.stored), row('duplicate', '', counts.duplicate),
      ...Object.entries(counts.ignored).map(([reason, records]) => row('ignored', reason, records)),
      ...Object.entries(counts.rejected).map(([reason, records]) => row('rejected', reason, records)),
    ].filter((c) => c.records > 0)
  })
}

