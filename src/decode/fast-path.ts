/**
 * The byte paths of all formats as one. Each refuses lines of the others by their first bytes, so a line costs little more than its own path.
 */
import type { Outcome } from '../core/flow/flow-record.ts'
import type { HubbleNormalizer } from '../core/normalize/hubble/hubble.ts'
import type { Normalizer } from '../core/normalize/normalizer.ts'
import type { FastPath } from './decode-chunk.ts'
import { FastAntreaCsv } from './fast-antrea-csv.ts'
import { FastAws } from './fast-aws.ts'
import { FastFields } from './fast-fields.ts'
import { FastGke } from './fast-gke.ts'
import { FastHubble } from './fast-hubble.ts'
import { OPEN_BRACE, QUOTE } from './fast-hubble-scan.ts'

const paths = new WeakMap<HubbleNormalizer, FastPath>()

/** The byte path in front of a normalizer: made once for each, and shared by all decoders, because it remembers what this normalizer makes of endpoints. */
export function createFastPath(normalizer: Normalizer): FastPath {
  const path = paths.get(normalizer.hubble) ?? new AllFormats(normalizer)
  paths.set(normalizer.hubble, path)
  return path
}

/** First letters of the keys with which exporters begin: `connection`, `flow`, `level`. */
const LETTER_C = 99
const LETTER_F = 102
const LETTER_L = 108

/** All paths agree about what a line means, so their order only costs; each is called by its own name, so that the compiler knows which one it is. */
class AllFormats implements FastPath {
  readonly #hubble: FastHubble
  readonly #gke: FastGke
  readonly #aws: FastAws
  readonly #fields: FastFields
  readonly #antreaCsv: FastAntreaCsv

  constructor({ hubble, gke, aws, fieldReaders, antreaLines }: Normalizer) {
    this.#hubble = new FastHubble(hubble)
    this.#gke = new FastGke(gke)
    this.#aws = new FastAws(aws)
    this.#fields = new FastFields(fieldReaders)
    this.#antreaCsv = new FastAntreaCsv(antreaLines)
  }

  read(chunk: Buffer, start: number, end: number): Outcome | undefined {
    if (chunk[start] !== OPEN_BRACE) return this.#aws.read(chunk, start, end) ?? this.#antreaCsv.read(chunk, start, end)
    const letter = chunk[start + 2]
    // Antrea's rows begin with `flowStartSeconds`.
    if (letter === LETTER_F && chunk[start + 6] === QUOTE) return this.#hubble.read(chunk, start, end)
    if (letter === LETTER_L) return this.#aws.read(chunk, start, end)
    return (letter === LETTER_C ? this.#gke.read(chunk, start, end) : undefined) ?? this.#fields.read(chunk, start, end)
  }
}
