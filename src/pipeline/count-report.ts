import type { Events, SourceKind } from '../observe/events.ts'
import type { IngestReport } from './ingest-report.ts'

/** Counts in the metrics what became of one stored batch. */
export function countReport(report: IngestReport, source: SourceKind, events: Events): void {
  for (const { type, events: seen, lost } of report.coverage) events.coverageNoted({ type, events: seen, lost })
  events.deadLettersCounted(report.deadLetters)
  const tooMany = report.rejected['too-many-identities'] ?? 0
  for (const [limit, records] of [['identities', tooMany], ['dead-letters', report.deadLetters.notKept], ['nodes', report.nodesNotKept]] as const) {
    if (records > 0) events.limitHit({ limit, records })
  }
  for (const [format, counts] of Object.entries(report.byFormat)) {
    const count = (outcome: 'stored' | 'duplicate' | 'rejected' | 'ignored', reason: string, records: number): void => {
      if (records > 0) events.recordsCounted({ source, format, outcome, reason, records })
    }
    count('stored', '', counts.stored)
    count('duplicate', '', counts.duplicate)
    for (const [reason, records] of Object.entries(counts.rejected)) count('rejected', reason, records)
    for (const [reason, records] of Object.entries(counts.ignored)) count('ignored', reason, records)
  }
}
