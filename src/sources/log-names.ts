/**
 * Names of rotated log files. Writers and logrotate keep what was written before under names made of the log's own: `flows.log.1`,
 * `flows.log.2.gz`, `flows.log-20260131.gz`, `flows.log.2026-01-31`, `flows-2026-01-31T12-00-00.000.log.gz`. In: base names, no folders.
 */

/** A counter or a moment: digits, and the signs that part them. */
const COUNTER_OR_MOMENT = '\\d[\\dTZ:.+_-]*'
/** In front of the extension only a moment counts: `node-1.log` and `node.log` are two logs. */
const MOMENT = '\\d{4}[-_.]?\\d\\d[-_.]?\\d\\d[\\dTZ:.+_-]*'
const PACKED = /\.(gz|zst|xz|bz2|lz4|Z)$/

/** Tells which names are rotated files of a log. */
export function rotationsOf(logName: string): (name: string) => boolean {
  const dot = logName.lastIndexOf('.')
  const [stem, extension] = dot > 0 ? [logName.slice(0, dot), logName.slice(dot)] : [logName, '']
  const after = new RegExp(`^${escapePattern(logName)}[.-]${COUNTER_OR_MOMENT}$`)
  const within = new RegExp(`^${escapePattern(stem)}[-._]${MOMENT}${escapePattern(extension)}$`)
  return (name) => {
    const plain = name.replace(PACKED, '')
    return name !== logName && (after.test(plain) || (extension !== '' && within.test(plain)) || (plain === logName && name !== logName))
  }
}

/** The suffix of a compression that cannot be read, such as `.xz`. */
export function unreadableSuffix(name: string): string | undefined {
  const suffix = PACKED.exec(name)?.[0]
  return suffix === '.gz' ? undefined : suffix
}

/** True for a name that says that the file is compressed. */
export function isPackedName(name: string): boolean {
  return PACKED.test(name)
}

function escapePattern(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}
