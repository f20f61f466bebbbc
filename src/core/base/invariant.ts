/** Stops on a bug: a state the code promises never to reach. The message starts with "Bug:" and carries the values. */
export function invariant(condition: unknown, message: string, values: Record<string, unknown> = {}): asserts condition {
  if (condition) return
  const shown = Object.keys(values).length > 0 ? ` ${JSON.stringify(values)}` : ''
  throw new Error(`Bug: ${message}${shown}`)
}
