/**
 * Failures that heal by themselves, with the first wait in milliseconds beside each. The wait doubles per failure up to
 * MAX_DELAY_MS. Anything not listed is a bug or needs a person: no retry.
 */
const SQLSTATE_DELAYS_MS: Readonly<Record<string, number>> = {
  '40001': 50, // serialization_failure: another transaction won
  '40P01': 50, // deadlock_detected: this one was chosen to die
  '55P03': 200, // lock_not_available
  '57014': 1_000, // query_canceled: statement timeout, the server is overloaded
  '57P01': 500, // admin_shutdown: the server restarts
  '57P02': 500, // crash_shutdown
  '57P03': 500, // cannot_connect_now: starting up or shutting down
  '25P03': 500, // idle_in_transaction_session_timeout: this process was stopped for a while
  '25006': 1_000, // read_only_sql_transaction: failover in progress
  '53100': 5_000, // disk_full: until somebody makes room
  '53200': 1_000, // out_of_memory
  '53300': 1_000, // too_many_connections
  '08000': 500, '08001': 500, '08003': 500, '08004': 500, '08006': 500, '08007': 500, // connection lost or refused
}

const SYSTEM_DELAYS_MS: Readonly<Record<string, number>> = {
  ECONNREFUSED: 500, ECONNRESET: 500, EPIPE: 500, ETIMEDOUT: 1_000, EHOSTUNREACH: 1_000, ENETUNREACH: 1_000, ENOTFOUND: 2_000, EAI_AGAIN: 1_000,
}

/** pg reports some lost connections without any code. */
const LOST_CONNECTION = /^(Connection terminated|Client has encountered a connection error|timeout exceeded when trying to connect|Client was closed)/

const MAX_DELAY_MS = 15_000

/** How long to wait before trying again after `failures` earlier failures, or `undefined` when trying again cannot help. */
export function retryDelayMs(error: unknown, failures: number): number | undefined {
  const first = firstDelayMs(error)
  return first === undefined ? undefined : Math.min(first * 2 ** failures, MAX_DELAY_MS)
}

function firstDelayMs(error: unknown): number | undefined {
  // By shape and not by class: errors of Node itself belong to another realm when code runs in a VM context, as tests do.
  if (typeof error !== 'object' || error === null) return undefined
  const { code, errors, message } = error as { code?: unknown, errors?: unknown, message?: unknown }
  const delay = typeof code === 'string' ? SQLSTATE_DELAYS_MS[code] ?? SYSTEM_DELAYS_MS[code] : undefined
  if (delay !== undefined) return delay
  if (Array.isArray(errors) && errors.length > 0) return firstDelayMs(errors[0])
  return typeof message === 'string' && LOST_CONNECTION.test(message) ? 500 : undefined
}
