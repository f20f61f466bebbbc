import { US_PER_SECOND, parseTimeUs } from '../base/time.ts'
import type { Labels } from '../flow/end.ts'
import { PROTOCOLS } from '../flow/flow-record.ts'
import type { Protocol } from '../flow/flow-record.ts'
import { ipv4Value, isAddressText } from './addresses.ts'
import { parseCron } from './cron.ts'
import type { CronSchedule } from './cron.ts'
import type { TopologyMoment, TopologyProblem } from './topology.ts'

/** An object of the input, known to be one. */
export interface Fields {
  readonly values: Readonly<Record<string, unknown>>
}

interface NumberBounds {
  readonly min: number
  readonly max: number
  readonly isWhole: boolean
}

/** `at.key`, or `key` at the root. */
export function childField(at: string, key: string): string {
  return at === '' ? key : `${at}.${key}`
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'undefined'
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}

const DNS_LABEL = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/
const DURATION = /^\+?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?$/

/** Reads typed fields and collects every problem instead of stopping at the first. */
export class TopologyReader {
  readonly problems: TopologyProblem[] = []

  problem(field: string, message: string): void {
    this.problems.push({ field: field === '' ? '(document)' : field, message })
  }

  fields(value: unknown, at: string): Fields | undefined {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { values: value as Record<string, unknown> }
    this.problem(at, `expected an object, found ${shown(value)}`)
    return undefined
  }

  child(fields: Fields, key: string, at: string): Fields | undefined {
    return this.fields(fields.values[key], childField(at, key))
  }

  /** The objects of a list; an absent list is empty. */
  list(fields: Fields, key: string, at = ''): { fields: Fields; at: string }[] {
    const value = fields.values[key]
    if (value === undefined || value === null) return []
    const field = childField(at, key)
    if (!Array.isArray(value)) {
      this.problem(field, `expected a list, found ${shown(value)}`)
      return []
    }
    const items = value.map((item, i) => ({ fields: this.fields(item, `${field}[${i}]`), at: `${field}[${i}]` }))
    return items.flatMap((item) => (item.fields === undefined ? [] : [{ fields: item.fields, at: item.at }]))
  }

  optionalText(fields: Fields, key: string, at: string): string | undefined {
    const value = fields.values[key]
    if (value === undefined || value === null) return undefined
    if (typeof value === 'string') return value
    this.problem(childField(at, key), `expected text, found ${shown(value)}`)
    return undefined
  }

  text(fields: Fields, key: string, at: string): string | undefined {
    const value = fields.values[key]
    if (typeof value === 'string' && value !== '') return value
    this.problem(childField(at, key), value === undefined ? 'is missing' : `expected text, found ${shown(value)}`)
    return undefined
  }

  /** A Kubernetes object name; '' after a problem. */
  name(fields: Fields, key: string, at: string): string {
    const text = this.text(fields, key, at)
    if (text === undefined) return ''
    if (!DNS_LABEL.test(text) || text.length > 253) this.problem(childField(at, key), `"${text}" is not a Kubernetes name (lower case letters, digits, "-")`)
    return text
  }

  labels(fields: Fields, key: string, at: string): Labels {
    const value = fields.values[key]
    if (value === undefined || value === null) return {}
    const record = this.fields(value, childField(at, key))
    const labels: Record<string, string> = {}
    for (const [k, v] of Object.entries(record?.values ?? {})) {
      if (typeof v === 'string') labels[k] = v
      else this.problem(`${childField(at, key)}["${k}"]`, `a label value is text: write "${String(v)}" in quotes`)
    }
    return labels
  }

  flag(fields: Fields, key: string, at: string): boolean {
    const value = fields.values[key]
    if (value === undefined || value === null || typeof value === 'boolean') return value === true
    this.problem(childField(at, key), `expected true or false, found ${shown(value)}`)
    return false
  }

  optionalNumber(fields: Fields, key: string, at: string, bounds: NumberBounds): number | undefined {
    const value = fields.values[key]
    if (value === undefined || value === null) return undefined
    const isGood = typeof value === 'number' && value >= bounds.min && value <= bounds.max && (!bounds.isWhole || Number.isInteger(value))
    if (isGood) return value
    this.problem(childField(at, key), `${shown(value)} is not a ${bounds.isWhole ? 'whole ' : ''}number from ${bounds.min} to ${bounds.max}`)
    return undefined
  }

  share(fields: Fields, key: string, at: string): number {
    return this.optionalNumber(fields, key, at, { min: 0, max: 1, isWhole: false }) ?? 0
  }

  port(fields: Fields, key: string, at: string): number {
    if (fields.values[key] === undefined) this.problem(childField(at, key), 'is missing: a port from 1 to 65535')
    return this.optionalNumber(fields, key, at, { min: 1, max: 65535, isWhole: true }) ?? 1
  }

  targetPort(fields: Fields, key: string, at: string): number | string | undefined {
    const value = fields.values[key]
    return typeof value === 'string' ? value : this.optionalNumber(fields, key, at, { min: 1, max: 65535, isWhole: true })
  }

  protocol(fields: Fields, key: string, at: string): Protocol {
    const value = fields.values[key] ?? 'TCP'
    const known = PROTOCOLS.find((p) => p === value)
    if (known === undefined) this.problem(childField(at, key), `${shown(value)} is not one of ${PROTOCOLS.join(', ')}`)
    return known ?? 'TCP'
  }

  schedule(fields: Fields, key: string, at: string): CronSchedule | undefined {
    const text = this.optionalText(fields, key, at)
    if (text === undefined) return undefined
    const parsed = parseCron(text)
    if (parsed === undefined) this.problem(childField(at, key), `"${text}" is not a cron schedule: minute hour day month weekday, e.g. "*/15 * * * *"`)
    return parsed
  }

  /** RFC 3339, or a time after the start such as `10m` or `1h30m` (a number counts minutes). */
  moment(fields: Fields, key: string, at: string): TopologyMoment | undefined {
    const value = fields.values[key]
    if (value === undefined || value === null) return undefined
    if (typeof value === 'number' && value >= 0) return { afterUs: Math.round(value * 60 * US_PER_SECOND) }
    if (value instanceof Date) return { atUs: value.getTime() * 1000 }
    const text = typeof value === 'string' ? value : ''
    const atUs = parseTimeUs(text)
    if (atUs !== undefined) return { atUs }
    const duration = text.length > 1 ? DURATION.exec(text) : null
    if (duration !== null) {
      const [hours, minutes, seconds] = [1, 2, 3].map((i) => Number(duration[i] ?? 0)) as [number, number, number]
      return { afterUs: Math.round((hours * 3600 + minutes * 60 + seconds) * US_PER_SECOND) }
    }
    this.problem(childField(at, key), `${shown(value)} is neither an RFC 3339 time nor a time after the start such as "10m"`)
    return undefined
  }

  address(fields: Fields, key: string, at: string): string | undefined {
    const text = this.optionalText(fields, key, at)
    if (text === undefined || isAddressText(text)) return text
    this.problem(childField(at, key), `"${text}" is not an IP address`)
    return undefined
  }

  domain(fields: Fields, key: string, at: string): string | undefined {
    const text = this.optionalText(fields, key, at)
    if (text === undefined || DNS_LABEL.test(text)) return text
    this.problem(childField(at, key), `"${text}" is not a domain name`)
    return undefined
  }

  cidr(fields: Fields, key: string, at: string): string | undefined {
    const text = this.optionalText(fields, key, at)
    if (text === undefined) return undefined
    const [base = '', prefix = '', ...rest] = text.split('/')
    const max = ipv4Value(base) === undefined ? 128 : 32
    if (rest.length === 0 && isAddressText(base) && /^\d{1,3}$/.test(prefix) && Number(prefix) <= max) return text
    this.problem(childField(at, key), `"${text}" is not a CIDR such as 10.0.0.0/8`)
    return undefined
  }
}
