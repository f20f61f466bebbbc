import { readFile } from 'node:fs/promises'
import { parseDocument } from 'yaml'
import { AppError } from '../core/base/app-error.ts'
import { ObjectReader } from '../core/base/object-reader.ts'
import { DEFAULT_LABEL_RULES } from '../core/flow/label-rules.ts'
import type { KeyPatterns, LabelRulesConfig } from '../core/flow/label-rules.ts'

const FIELDS = ['ignore', 'keep', 'detect', 'namespaces']
const NAMESPACE_FIELDS = ['ignore', 'keep']
/** Letters that label keys have, and `*`. */
const PATTERN = /^[A-Za-z0-9*][A-Za-z0-9*._/-]*$/
const MAX_LENGTH = 320
/** Patterns of one list. More: every label of every identity is compared with more of them. */
const MAX_PATTERNS = 1000
const ALIAS_LIMIT = 100

/**
 * Reads label rules (docs/label-rules.md) from a YAML or JSON file. Throws an AppError that names the file, and every field that is wrong:
 * `input-unreadable`, or `input-unusable`.
 */
export async function loadLabelRules(path: string): Promise<LabelRulesConfig> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (cause) {
    throw new AppError('input-unreadable', `cannot read the label rules ${path}: give a YAML file such as the one in docs/label-rules.md`, { cause, at: path })
  }
  return parseLabelRules(text, path)
}

/** `file` is what errors name. An empty file means the default rules. */
export function parseLabelRules(text: string, file: string): LabelRulesConfig {
  const reader = new ObjectReader()
  const root = reader.object(parseYaml(text, file), '', FIELDS)
  const detect = root.detect ?? DEFAULT_LABEL_RULES.detect
  if (typeof detect !== 'boolean') reader.invalid('detect', detect, 'must be true or false')
  const namespaces = Object.entries(reader.object(root.namespaces, 'namespaces')).map(([name, value]) => {
    const field = `namespaces.${name}`
    if (!isPattern(name)) reader.invalid('namespaces', name, 'must be a namespace, in which * may stand for any text')
    return [name, readPatterns(reader.object(value, field, NAMESPACE_FIELDS), `${field}.`, reader)] as const
  })
  const rules = { ...readPatterns(root, '', reader), detect: detect === true, namespaces: Object.fromEntries(namespaces) }
  if (reader.problems.length === 0) return rules
  throw new AppError('input-unusable', [`${file} holds no usable label rules:`, ...reader.problems.map((p) => `  ${p.field === '' ? 'the document' : p.field}: ${p.message}`)].join('\n'), { at: file })
}

function parseYaml(text: string, file: string): unknown {
  const document = parseDocument(text.replace(/^\uFEFF/, ''), { prettyErrors: false, logLevel: 'silent' })
  const [error] = document.errors
  if (error !== undefined) throw new AppError('input-unusable', `${file} is not valid YAML: ${error.message}`, { at: file, cause: error })
  try {
    return document.toJS({ maxAliasCount: ALIAS_LIMIT }) as unknown
  } catch (cause) {
    throw new AppError('input-unusable', `${file}: its YAML aliases cannot be expanded: write the repeated parts out`, { at: file, cause })
  }
}

function readPatterns(object: Readonly<Record<string, unknown>>, prefix: string, reader: ObjectReader): KeyPatterns {
  const list = (name: 'ignore' | 'keep'): string[] => {
    const items = reader.list(object[name], `${prefix}${name}`)
    if (items.length > MAX_PATTERNS) reader.add(`${prefix}${name}`, `holds ${items.length} patterns; at most ${MAX_PATTERNS} are possible`)
    return items.slice(0, MAX_PATTERNS).flatMap((item, i) => {
      const field = `${prefix}${name}[${i}]`
      if (typeof item === 'string' && isPattern(item)) return [item]
      reader.invalid(field, item, 'must be a label key, in which * may stand for any text')
      return []
    })
  }
  const patterns = { ignore: list('ignore'), keep: list('keep') }
  for (const both of patterns.ignore.filter((p) => patterns.keep.includes(p))) reader.add(`${prefix}keep`, `${JSON.stringify(both)} is in ${prefix}ignore as well`)
  return patterns
}

function isPattern(text: string): boolean {
  return text.length <= MAX_LENGTH && PATTERN.test(text)
}
