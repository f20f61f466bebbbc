/**
 * The byte paths of all formats as one. Each refuses lines of the others by their first bytes, so a line costs little more than its own path; those
 * of the formats with most lines come first.
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
import { OPEN_BRACE } from './fast-hubble-scan.ts'

const paths = new WeakMap<HubbleNormalizer, FastPath>()

/** The byte path in front of a normalizer: made once for each, and shared by all decoders, because it remembers what this normalizer makes of endpoints. */
export function createFastPath(normalizer: Normalizer): FastPath {
  const path = paths.get(normalizer.hubble) ?? new AllFormats(normalizer)
  paths.set(normalizer.hubble, path)
  return path
}

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
    return this.#hubble.read(chunk, start, end) ?? this.#gke.read(chunk, start, end) ?? this.#aws.read(chunk, start, end) ?? this.#fields.read(chunk, start, end)
  }
}
