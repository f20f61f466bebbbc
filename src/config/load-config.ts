/** Environment -> frozen Config, or problems that name the variable. The only reader of the environment. */
import { kafkaProblems } from './kafka-problems.ts'
import { retentionProblems } from './retention-settings.ts'
import { SETTINGS } from './settings.ts'
import type { Config, Setting } from './settings.ts'

export interface ConfigResult {
  /** Absent when there are problems. */
  readonly config?: Config
  /** Sentences such as `FLOWFENCE_PORT is "http", but must be …`. */
  readonly problems: readonly string[]
  /** Variables that look misspelt; they have no effect. */
  readonly warnings: readonly string[]
}

export type Environment = Readonly<Record<string, string | undefined>>

export function loadConfig(env: Environment): ConfigResult {
  const problems: string[] = []
  const config: Record<string, unknown> = {}
  for (const [key, setting] of Object.entries<Setting<unknown>>(SETTINGS)) {
    const text = textOf(env, setting.name)
    try {
      config[key] = text === undefined ? setting.fallback : setting.parse(text)
    } catch (error) {
      problems.push(`${setting.name} ${error instanceof Error ? error.message : 'is not valid.'}`)
    }
  }
  problems.push(...retentionProblems(config))
  if (problems.length === 0) problems.push(...kafkaProblems(config as Config))
  const warnings = misspelt(env)
  return problems.length > 0 ? { problems, warnings } : { config: Object.freeze(config) as Config, problems, warnings }
}

function textOf(env: Environment, name: string): string | undefined {
  const text = env[name]?.trim()
  if (text === undefined || text === '') return undefined
  // Kubernetes sets FLOWFENCE_PORT=tcp://10.0.0.1:8080 in every pod when a Service is named "flowfence", and the other for "flowfence-tls".
  if ((name === SETTINGS.port.name || name === SETTINGS.tlsPort.name) && text.startsWith('tcp://')) return undefined
  return text
}

function misspelt(env: Environment): string[] {
  const names = Object.values(SETTINGS).map((s): string => s.name)
  return Object.keys(env).filter((name) => name.startsWith('FLOWFENCE_') && !names.includes(name)).sort().flatMap((name) => {
    const near = names.find((known) => distance(name, known) <= 2)
    return near === undefined ? [] : [`${name} is not a setting and has no effect. Did you mean ${near}?`]
  })
}

/** Edit distance (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)))
    }
    row = next
  }
  return row[b.length] ?? 0
}
