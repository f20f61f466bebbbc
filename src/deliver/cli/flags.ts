/** Parsers of flag values shared by commands. Each throws a usage error that repeats the value and says what to write. */
import { InvalidArgumentError, Option } from 'commander'
import { AppError } from '../../core/base/app-error.ts'
import { formatTimeUs, parseTimeUs, US_PER_SECOND } from '../../core/base/time.ts'
import { parseCidr } from '../../core/sets/cidr.ts'

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }

/** A time as RFC 3339 or as an age such as `90m`, `24h`, `7d`; microseconds. */
export function parseMoment(nowUs: () => number): (text: string) => number {
  return (text) => {
    const age = /^(\d{1,6})([smhd])$/.exec(text)
    const timeUs = age === null ? parseTimeUs(text) : nowUs() - Number(age[1]) * (UNIT_SECONDS[age[2] ?? ''] ?? 0) * US_PER_SECOND
    if (timeUs === undefined) throw new InvalidArgumentError('Write a time such as 2026-01-01T00:00:00Z, or an age such as 90m, 24h or 7d.')
    return timeUs
  }
}

export interface RangeFlags {
  readonly since?: number
  readonly until?: number
}

export interface Range {
  readonly sinceUs?: number
  readonly untilUs?: number
}

/** The half-open range [since, until). */
export function rangeOf({ since, until }: RangeFlags): Range {
  if (since !== undefined && until !== undefined && since >= until) {
    throw new AppError('usage', `--since ${formatTimeUs(since)} is not before --until ${formatTimeUs(until)}.`)
  }
  return { ...(since === undefined ? {} : { sinceUs: since }), ...(until === undefined ? {} : { untilUs: until }) }
}

export function parseCidrFlag(text: string, earlier: readonly string[] | undefined): readonly string[] {
  const items = text.split(',').map((item) => item.trim()).filter((item) => item !== '')
  for (const item of items) if (parseCidr(item) === undefined) throw new InvalidArgumentError(`"${item}" is not a network such as 10.244.0.0/16.`)
  return [...(earlier ?? []), ...items]
}

export function parseNumberFlag(min: number, max: number, options: { isWhole: boolean }): (text: string) => number {
  return (text) => {
    const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : NaN
    if (!(value >= min && value <= max) || (options.isWhole && !Number.isInteger(value))) {
      throw new InvalidArgumentError(`Write a ${options.isWhole ? 'whole number' : 'number'} from ${min} to ${max}.`)
    }
    return value
  }
}

/** Same rule as FLOWFENCE_CLUSTER. */
export function parseClusterFlag(text: string): string {
  if (!/^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/.test(text)) {
    throw new InvalidArgumentError('A cluster name has letters, digits, ".", "_" and "-", and at most 253 characters.')
  }
  return text
}

/** `-o FORMAT` with a default. */
export function outputFlag(formats: readonly string[], fallback: string): Option {
  return new Option('-o, --output <format>', 'form of the result on stdout').choices(formats).default(fallback)
}

/** The range and cluster flags that `recommend` and `check` share. */
export function observationFlags(nowUs: () => number): Option[] {
  return [
    new Option('--cluster <name>', 'the cluster whose flows are read (default: FLOWFENCE_CLUSTER, else "default")').argParser(parseClusterFlag),
    new Option('--namespace <name>', 'only this namespace'),
    new Option('--since <time>', 'start of the range: a time such as 2026-01-01T00:00:00Z, or an age such as 24h or 7d').argParser(parseMoment(nowUs)),
    new Option('--until <time>', 'end of the range, not included').argParser(parseMoment(nowUs)),
    new Option('--cluster-state <path...>', 'files or folders of Kubernetes objects (kubectl get ns,nodes,pods,svc -A -o yaml): better names, named ports, silent workloads'),
    new Option('--pod-cidr <network...>', 'networks in which pods live: an unnamed address in them is an unknown pod, never an outside address').argParser(parseCidrFlag),
    new Option('--label-rules <file>', 'YAML file of label rules: which label keys tell workloads apart (default: FLOWFENCE_LABEL_RULES, else the built-in rules)'),
    new Option('--strict', 'exit with 2 when any part of the input was bad'),
  ]
}

/** commander's own required options are reported before misspelt ones, which hides the real mistake; so they are checked here. */
export function requireFlag<T>(value: T | undefined, flag: string): T {
  if (value === undefined) throw new AppError('usage', `${flag} is missing (--help shows what is possible).`)
  return value
}
