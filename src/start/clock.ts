/** The program's clock, microseconds since 1970 (millisecond steps). */
export function nowUs(): number {
  return Date.now() * 1000
}
