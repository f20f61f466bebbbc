/** Stops on a bug: a state the code promises never to reach. The message starts with "Bug:" and carries the values. */
export function invariant(condition: unknown, message: string, values: Record<string, unknown> = {}): asserts condition {
  if (condition) return
  const shown = Object.keys(values).length > 0 ? ` ${JSON.stringify(values)}` : ''
  throw new Error(`Bug: ${message}${shown}`)
}

/** Closes an exhaustive switch: compiles only when every member of the union has been handled. */
export function unreachable(value: never): never {
  throw new Error(`Bug: unreachable value ${JSON.stringify(value)}`)
}
