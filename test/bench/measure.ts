/** Seconds of `work`, wall clock. */
export async function secondsOf(work: () => unknown): Promise<number> {
  const start = process.hrtime.bigint()
  await work()
  return Number(process.hrtime.bigint() - start) / 1e9
}

/** The median of several runs, because machines are noisy. */
export async function medianSeconds(runs: number, work: () => unknown): Promise<number> {
  const seconds: number[] = []
  for (let i = 0; i < runs; i++) seconds.push(await secondsOf(work))
  return seconds.sort((a, b) => a - b)[Math.floor(runs / 2)] as number
}

export interface Line {
  readonly name: string
  readonly value: number
  readonly unit: string
  /** A limit in the same unit; `undefined` for a reference. */
  readonly limit?: { readonly atLeast?: number; readonly atMost?: number }
}

export function isWithin(line: Line): boolean {
  return (line.limit?.atLeast === undefined || line.value >= line.limit.atLeast) && (line.limit?.atMost === undefined || line.value <= line.limit.atMost)
}

export function printLine(line: Line): void {
  const limit = line.limit === undefined ? '' : line.limit.atLeast === undefined ? `at most ${line.limit.atMost ?? ''}` : `at least ${line.limit.atLeast}`
  const state = line.limit === undefined ? 'reference' : isWithin(line) ? 'ok' : 'PAST ITS LIMIT'
  process.stdout.write(`${line.name.padEnd(58)} ${line.value.toFixed(2).padStart(12)} ${line.unit.padEnd(14)} ${limit.padEnd(14)} ${state}\n`)
}
