/**
 * The log: one JSON object per line on stderr. stdout belongs to results. ERROR needs a person now, WARN healed itself, INFO is one line per
 * batch or request at most; never one per flow.
 *
 * Secrets are removed twice: by field name, and from every text that holds a connection string or an Authorization value.
 */
import { pino } from 'pino'
import type { DestinationStream, Logger as PinoLogger } from 'pino'

export type Logger = PinoLogger

export interface LoggerOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent'
  /** Texts that must never appear, such as the API key. */
  readonly secrets?: readonly string[]
  /** Default: stderr, written at once so that nothing is lost when the process ends. */
  readonly destination?: DestinationStream
}

const SECRET_FIELDS = ['password', 'apiKey', 'authorization', 'connectionString', 'databaseUrl', 'cookie', '["x-api-key"]', 'DATABASE_URL', 'FLOWFENCE_API_KEY']

export function createLogger(options: LoggerOptions): Logger {
  const scrub = createScrubber(options.secrets ?? [])
  return pino({
    level: options.level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: SECRET_FIELDS.flatMap((f) => [f, f.startsWith('[') ? `*${f}` : `*.${f}`]), censor: '[secret]' },
  }, scrubbing(options.destination ?? pino.destination({ dest: 2, sync: true }), scrub))
}

function scrubbing(destination: DestinationStream, scrub: (text: string) => string): DestinationStream {
  return { write: (line: string) => destination.write(scrub(line)) }
}

/** Removes passwords of URLs, bearer tokens and the given secrets from a text. */
export function createScrubber(secrets: readonly string[]): (text: string) => string {
  // A very short secret would blank out ordinary words; as it is JSON text that gets searched, its escaped form is too.
  const known = secrets.filter((s) => s.length >= 4).flatMap((s) => [s, JSON.stringify(s).slice(1, -1)])
  // The patterns are bounded: paths and error messages hold foreign text, and each line is searched on the event loop.
  return (text) => {
    let clean = text.replace(/(:\/\/[^\s:/@"]{0,256}):[^\s@"]{1,1024}@/g, '$1:[secret]@').replace(/\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{4,}/gi, '$1 [secret]')
    for (const secret of known) clean = clean.replaceAll(secret, '[secret]')
    return clean
  }
}
