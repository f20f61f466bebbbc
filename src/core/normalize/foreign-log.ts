import type { Ignored } from '../flow/flow-record.ts'
import type { RawObject } from './problems.ts'

/** A line or object that some program logged about itself, between the records (T24): Cilium's agent in `stdout` mode, a CLI's warnings. */
export const FOREIGN_LOG: Ignored = { kind: 'ignored', format: 'unknown', reason: 'foreign-log', coverage: null }

/** logfmt (`level=info msg="…"`, `time="…" level=…`) and klog (`I0102 15:04:05.678901 …`). */
const LOGFMT = /^(?:time=\S+ |ts=\S+ )?(?:level|severity)=[a-z]+ /
const KLOG = /^[IWEF]\d{4} \d{2}:\d{2}:\d{2}\.\d{6} /

export function isForeignLine(line: string): boolean {
  const head = line.slice(0, 200)
  return LOGFMT.test(head) || KLOG.test(head)
}

/** A structured log line: a message with a level, and nothing that a flow record has. */
export function isForeignObject(record: RawObject): boolean {
  const message = record.msg ?? record.message
  const level = record.level ?? record.severity
  return typeof message === 'string' && (typeof level === 'string' || typeof level === 'number')
}
