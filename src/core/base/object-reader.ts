/** What is wrong with one field of an object, in the API server's words, e.g. `spec.podSelector`, `Required value`. */
export interface FieldProblem {
  readonly field: string
  readonly message: string
}

type PlainObject = Readonly<Record<string, unknown>>

/**
 * Reads fields of an unknown object and collects what is wrong, so that one pass reports everything.
 * `null` reads as absent everywhere, as it does in the API server.
 */
export class ObjectReader {
  readonly problems: FieldProblem[] = []

  add(field: string, message: string): void {
    this.problems.push({ field, message })
  }

  invalid(field: string, value: unknown, reason: string): void {
    this.add(field, `Invalid value: ${shown(value)}: ${reason}`)
  }

  /** An object; `{}` when absent or of another type (which is a problem). With `known`, other fields are problems too. */
  object(value: unknown, field: string, known?: readonly string[]): PlainObject {
    if (value === undefined || value === null) return {}
    if (typeof value !== 'object' || Array.isArray(value)) {
      this.invalid(field, value, 'must be an object')
      return {}
    }
    const object = value as PlainObject
    if (known !== undefined) {
      for (const key of Object.keys(object)) if (!known.includes(key)) this.add(`${field === '' ? '' : `${field}.`}${key}`, `unknown field; known here: ${known.join(', ')}`)
    }
    return object
  }

  list(value: unknown, field: string): readonly unknown[] {
    if (value === undefined || value === null) return []
    if (Array.isArray(value)) return value
    this.invalid(field, value, 'must be a list')
    return []
  }

  /** `undefined` when absent or not a string (which is a problem). */
  text(value: unknown, field: string): string | undefined {
    if (value === undefined || value === null) return undefined
    if (typeof value === 'string') return value
    this.invalid(field, value, typeof value === 'object' ? 'must be a string' : 'must be a string: quote it')
    return undefined
  }

  /** A string map such as labels; a null value reads as ''. */
  texts(value: unknown, field: string): Readonly<Record<string, string>> {
    const result: Record<string, string> = {}
    for (const [key, item] of Object.entries(this.object(value, field))) {
      if (key === '__proto__') this.invalid(field, key, 'not a valid key')
      else result[key] = this.text(item, `${field}.${key}`) ?? ''
    }
    return result
  }
}

const SHOWN_LIMIT = 80

function shown(value: unknown): string {
  const text = jsonOf(value)
  return text.length <= SHOWN_LIMIT ? text : `${text.slice(0, SHOWN_LIMIT)}…`
}

/** JSON.parse takes any depth, JSON.stringify does not. */
function jsonOf(value: unknown): string {
  try {
    return JSON.stringify(value) ?? typeof value
  } catch {
    return `${typeof value} nested too deeply to be shown`
  }
}
