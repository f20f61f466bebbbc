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
import { OPEN_BRACE } from './fast-hubble-scan.ts'

const paths = new WeakMap<HubbleNormalizer, FastPath>()

/** The byte path in front of a normalizer: made once for each, and shared by all decoders, because it remembers what this normalizer makes of endpoints. */
export function createFastPath(normalizer: Normalizer): FastPath {
  const path = paths.get(normalizer.hubble) ?? new AllFormats(normalizer)
  paths.set(normalizer.hubble, path)
  return path
}

/** The path that took the line before comes first: all agree about what a line means, so their order only costs. */
class AllFormats implements FastPath {
  readonly #json: FastPath[]
  readonly #text: FastPath[]

  constructor({ hubble, gke, aws, fieldReaders, antreaLines }: Normalizer) {
    const agent = new FastAws(aws)
    this.#json = [new FastHubble(hubble), new FastGke(gke), agent, new FastFields(fieldReaders)]
    this.#text = [agent, new FastAntreaCsv(antreaLines)]
  }

  read(chunk: Buffer, start: number, end: number): Outcome | undefined {
    const all = chunk[start] === OPEN_BRACE ? this.#json : this.#text
    for (let i = 0; i < all.length; i++) {
      const path = all[i] as FastPath
      const outcome = path.read(chunk, start, end)
      if (outcome === undefined) continue
      if (i > 0) {
        all[i] = all[0] as FastPath
        all[0] = path
      }
      return outcome
    }
    return undefined
  }
}
