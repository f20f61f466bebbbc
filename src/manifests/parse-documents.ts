import { LineCounter, isScalar, parseDocument, visit } from 'yaml'
import type { Document } from 'yaml'
import type { LoadedObject, ManifestError, Manifests } from './manifest.ts'

/** Expansions of one YAML alias set; beyond it the document is a resource-exhaustion attack. */
const ALIAS_LIMIT = 100

/** One YAML document of a text, by lines. */
interface Piece {
  readonly text: string
  /** Line of its first character, counted from 1. */
  readonly line: number
  readonly document: number
}

interface Sink {
  readonly objects: LoadedObject[]
  readonly inputErrors: ManifestError[]
  readonly lines: PieceLines
}

/** Parses YAML documents or JSON; each document on its own, so that a broken one costs only itself. */
export function parseDocuments(text: string, file: string): Manifests {
  const sink: Sink = { objects: [], inputErrors: [], lines: new PieceLines() }
  const pieces = isJson(text) ? [{ text, line: 1, document: 1 }] : splitDocuments(text)
  if (pieces.length === 0) sink.inputErrors.push({ file, message: 'holds no document: it is empty or only comments' })
  for (const piece of pieces) parsePiece(piece, file, sink)
  return { objects: sink.objects, inputErrors: sink.inputErrors }
}

/** JSON is parsed as such: exact and fast; what fails there is tried as YAML, which also takes flow style. */
function isJson(text: string): boolean {
  if (!/^\s*[[{]/.test(text)) return false
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** Splits at `---` lines: YAML allows such a line nowhere inside a document. Pieces without content are left out. */
function splitDocuments(text: string): Piece[] {
  const pieces: Piece[] = []
  let lines: string[] = []
  let start = 1
  const flush = (): void => {
    const hasContent = lines.some((l) => !/^\s*(#.*)?$/.test(l) && !/^(%|---\s*(#.*)?$|\.\.\.)/.test(l))
    if (hasContent) pieces.push({ text: lines.join('\n'), line: start, document: pieces.length + 1 })
  }
  for (const [i, line] of text.replace(/^\uFEFF/, '').split(/\r?\n/).entries()) {
    if (/^---(\s|$)/.test(line)) {
      flush()
      lines = []
      start = i + 1
    }
    lines.push(line)
  }
  flush()
  return pieces
}

function parsePiece(piece: Piece, file: string, sink: Sink): void {
  try {
    const value = /^\s*[[{]/.test(piece.text) && isJson(piece.text) ? (JSON.parse(piece.text) as unknown) : parsePieceYaml(piece)
    collect(value, { piece, file, path: '', depth: 0 }, sink)
  } catch (error) {
    if (!(error instanceof DocumentError)) throw error
    sink.inputErrors.push({ file, line: error.line, message: `document ${piece.document}: ${error.message}` })
  }
}

class DocumentError extends Error {
  readonly line: number

  constructor(line: number, message: string) {
    super(message)
    this.line = line
  }
}

/** `uniqueKeys` of the library compares every key with every other: minutes for one megabyte of keys. `repeatedKey` takes one look at each. */
const YAML_OPTIONS = { merge: true, uniqueKeys: false, prettyErrors: false, logLevel: 'silent' } as const

function parsePieceYaml(piece: Piece): unknown {
  const lineCounter = new LineCounter()
  const document = parseDocument(piece.text, { ...YAML_OPTIONS, lineCounter })
  const error = document.errors[0]
  if (error !== undefined) throw new DocumentError(piece.line + lineCounter.linePos(error.pos[0]).line - 1, `not valid YAML: ${error.message}`)
  const repeated = repeatedKey(document)
  if (repeated !== undefined) throw new DocumentError(piece.line + lineCounter.linePos(repeated).line - 1, 'not valid YAML: Map keys must be unique')
  try {
    return document.toJS({ maxAliasCount: ALIAS_LIMIT }) as unknown
  } catch (cause) {
    throw new DocumentError(piece.line, `its YAML aliases cannot be expanded (${cause instanceof Error ? cause.message : String(cause)}): write the repeated parts out`)
  }
}

/** Offset of the first key that its map has already; of two values nobody knows which was meant. */
function repeatedKey(document: Document): number | undefined {
  let offset: number | undefined
  visit(document, {
    Map: (_, map) => {
      const seen = new Set<unknown>()
      for (const { key } of map.items) {
        if (!isScalar(key)) continue
        if (seen.has(key.value)) {
          offset = key.range?.[0] ?? 0
          return visit.BREAK
        }
        seen.add(key.value)
      }
      return undefined
    },
  })
  return offset
}

interface Place {
  readonly piece: Piece
  readonly file: string
  /** Where the object lies in its document, e.g. `items[3]`; '' = the document itself. */
  readonly path: string
  /** Lists around it. */
  readonly depth: number
}

/** Lists within lists; nobody writes more than two, and deeper ones could overflow the stack. */
const DEPTH_LIMIT = 16

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Flattens Lists (`kind: List`, `PodList`, ...) and arrays; anything else must be an object with apiVersion and kind. */
function collect(value: unknown, place: Place, sink: Sink): void {
  if (Array.isArray(value) && place.depth < DEPTH_LIMIT) {
    collectItems(value, place, sink)
    return
  }
  if (isObject(value) && typeof value.kind === 'string' && typeof value.apiVersion === 'string') {
    if (value.kind.endsWith('List') && place.depth < DEPTH_LIMIT && (Array.isArray(value.items) || value.items === null)) {
      collectItems(itemsOf(value), { ...place, path: joinPath(place.path, 'items') }, sink)
    } else sink.objects.push({ object: value, file: place.file, document: place.piece.document, lineOf: lineFinder(place, sink.lines) })
    return
  }
  const where = place.path === '' ? '' : ` ${place.path}`
  sink.inputErrors.push({
    file: place.file, line: lineFinder(place, sink.lines)(''), message: `document ${place.piece.document}${where}: not a Kubernetes object, apiVersion or kind is missing`,
  })
}

/** Items of a typed list such as PodList leave out what the list says. */
function itemsOf(list: Readonly<Record<string, unknown>>): unknown[] {
  const kind = String(list.kind).slice(0, -'List'.length)
  const items = Array.isArray(list.items) ? (list.items as unknown[]) : []
  if (kind === '') return items
  return items.map((item) => (isObject(item) ? { apiVersion: list.apiVersion, kind, ...item } : item))
}

/** Errors of items beyond this are counted in one more line, so that a foreign array does not flood the output. */
const ITEM_ERROR_LIMIT = 3

function collectItems(items: readonly unknown[], place: Place, sink: Sink): void {
  const own: Sink = { ...sink, inputErrors: [] }
  for (const [i, item] of items.entries()) collect(item, { ...place, path: `${place.path}[${i}]`, depth: place.depth + 1 }, own)
  sink.inputErrors.push(...own.inputErrors.slice(0, ITEM_ERROR_LIMIT))
  const more = own.inputErrors.length - ITEM_ERROR_LIMIT
  if (more > 0) sink.inputErrors.push({ file: place.file, line: place.piece.line, message: `document ${place.piece.document}: ${more} more entries are not Kubernetes objects` })
}

function joinPath(path: string, field: string): string {
  return path === '' ? field : field === '' ? path : field.startsWith('[') ? `${path}${field}` : `${path}.${field}`
}

interface PieceTree {
  readonly piece: Piece
  readonly document: Document
  readonly lineCounter: LineCounter
}

/** Trees of pieces, to find lines: made for messages only, so that good input pays nothing, and once for all messages of one piece. */
class PieceLines {
  /** Only the last one: messages come piece by piece, and a tree takes some ten times the memory of its text. */
  #last: PieceTree | undefined

  treeOf(piece: Piece): PieceTree {
    if (this.#last?.piece !== piece) {
      const lineCounter = new LineCounter()
      this.#last = { piece, document: parseDocument(piece.text, { ...YAML_OPTIONS, lineCounter }), lineCounter }
    }
    return this.#last
  }
}

function lineFinder({ piece, path }: Place, lines: PieceLines): (field: string) => number {
  return (field) => {
    const whole = joinPath(path, field)
    if (whole === '') return piece.line + firstContentLine(piece.text) - 1
    const { document, lineCounter } = lines.treeOf(piece)
    const offset = offsetOf(document, whole)
    return piece.line + (offset === undefined ? firstContentLine(piece.text) : lineCounter.linePos(offset).line) - 1
  }
}

function firstContentLine(text: string): number {
  const index = text.split('\n').findIndex((line) => !/^\s*(#.*)?$/.test(line) && !/^---\s*(#.*)?$/.test(line) && !line.startsWith('%'))
  return index < 0 ? 1 : index + 1
}

/** Offset of the deepest part of the path that exists. */
function offsetOf(document: Document, path: string): number | undefined {
  const keys: (string | number)[] = []
  let offset: number | undefined
  for (const [, name, index] of path.matchAll(/([^.[\]]+)|\[(\d+)\]/g)) {
    keys.push(index === undefined ? (name ?? '') : Number(index))
    const node = document.getIn(keys, true) as { range?: [number, number, number] } | undefined
    if (node?.range === undefined) break
    offset = isScalar(node) || Array.isArray(node.range) ? node.range[0] : offset
  }
  return offset
}

/** All documents of a YAML text as plain values; the inverse of `printYaml`. Throws on a broken document. */
export function parseYaml(text: string): unknown[] {
  return splitDocuments(text).map(parsePieceYaml)
}
