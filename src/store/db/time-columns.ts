/** SQL for a timestamptz column as whole microseconds since 1970 (bigint, so text in JavaScript: wrap in Number). */
export function timeUs(column: string): string {
  return `(extract(epoch from ${column}) * 1000000)::bigint`
}

/** SQL for a parameter of microseconds as timestamptz; null stays null. */
export function timeParameter(parameter: string): string {
  return `to_timestamp(${parameter}::bigint / 1000000.0)`
}
