/**
 * When a pod had its name, its labels and its addresses, from the versions in which it was seen.
 *
 * A *look* is a span of one pod's life with unchanged labels, owner and spec: between two sightings of one look nothing changed, between two looks
 * nobody knows which one it was. The name belongs to the pod from its creation to its deletion. The address belongs to it from the moment it provably
 * had one (`addressedAt`), else from the first sighting with it, to the end of its last container, and never past the last sighting otherwise. Since its
 * start or creation it may have had it: then the address is nobody else's by a mere guess, and not its own either. A pod seen terminated without saying
 * when it ended never resolves past its last sighting alive.
 */
import { canonicalJson } from '../base/order.ts'
import { ObjectReader } from '../base/object-reader.ts'
import { parseTimeUs } from '../base/time.ts'
import type { ObjectVersion, StateDocument } from './object-version.ts'
import { TERMINATED_PHASES, readPodIps } from './read-object.ts'

type Plain = Readonly<Record<string, unknown>>

/** One look: `[fromUs, untilUs)`, and its document. */
export interface PodLook {
  readonly document: StateDocument
  readonly fromUs: number
  readonly untilUs: number
  readonly addresses: readonly AddressSpan[]
}

/** A span in which the pod claims an address; the words of Claim (timeline.ts). */
export interface AddressSpan {
  readonly ip: string
  readonly possibleFromUs: number
  readonly fromUs: number
  readonly certainUs: number
  readonly untilUs: number
  readonly possibleUntilUs: number
}

/** The end of a version, not included: Infinity while it goes on. */
export function endOf(version: ObjectVersion): number {
  return version.endedUs ?? (version.seenUntilUs === null ? Infinity : version.seenUntilUs + 1)
}

/** When the object came to be; the first sighting when it does not say, or says later. */
export function createdUs(version: ObjectVersion): number {
  return Math.min(version.seenFromUs, timeIn(version.document.metadata, 'creationTimestamp') ?? version.seenFromUs)
}

/** The end of what may have been: the next version, or the first moment at which the object was not there any more. */
export function possibleEndOf(version: ObjectVersion, next: ObjectVersion | undefined, nextCovered: (timeUs: number) => number): number {
  if (version.endedUs !== null) return version.endedUs
  if (next !== undefined) return next.seenFromUs
  return version.seenUntilUs === null ? Infinity : nextCovered(version.seenUntilUs)
}

/** `versions` of one pod in order of time; `nextCovered`: the first moment after one at which everything was known. */
export function podLooks(versions: readonly ObjectVersion[], nextCovered: (timeUs: number) => number): PodLook[] {
  const looks: ObjectVersion[][] = []
  let text = ''
  for (const version of versions) {
    const own = versions.length === 1 ? '' : lookOf(version.document)
    if (looks.length > 0 && own === text) looks.at(-1)?.push(version)
    else looks.push([version])
    text = own
  }
  return looks.map((look, i): PodLook => {
    const [first] = look as [ObjectVersion]
    const last = look.at(-1) as ObjectVersion
    const after = looks[i + 1]?.[0]
    const created = createdUs(versions[0] as ObjectVersion)
    const addresses = addressSpans(look, { previous: looks[i - 1]?.at(-1), created, after, nextCovered })
    return { document: last.document, fromUs: i === 0 ? created : first.seenFromUs, untilUs: endOf(last), addresses }
  })
}

function lookOf({ metadata, spec }: StateDocument): string {
  const { labels, ownerReferences } = plainOf(metadata)
  return canonicalJson({ labels, ownerReferences, spec })
}

interface LookPlace {
  /** The last version of the look before. */
  readonly previous: ObjectVersion | undefined
  /** When the pod came to be. */
  readonly created: number
  /** The first version of the next look. */
  readonly after: ObjectVersion | undefined
  readonly nextCovered: (timeUs: number) => number
}

/** Per address, one span for each run of versions that have it. */
function addressSpans(look: readonly ObjectVersion[], place: LookPlace): AddressSpan[] {
  const spans: AddressSpan[] = []
  const ips = look.map((v) => ipsOf(v.document))
  for (const ip of new Set(ips.flat())) {
    const has = ips.map((of) => of.includes(ip))
    for (let from = has.indexOf(true); from >= 0;) {
      const without = has.indexOf(false, from)
      const until = without < 0 ? look.length : without
      spans.push({ ip, ...spanOf(look, { ip, from, until }, place) })
      from = has.indexOf(true, until)
    }
  }
  return spans
}

/** Of the versions `[from, until)` of a look, which all have the address. */
function spanOf(look: readonly ObjectVersion[], { ip, from, until }: { ip: string; from: number; until: number }, place: LookPlace): Omit<AddressSpan, 'ip'> {
  const run = look.slice(from, until)
  const [first] = run as [ObjectVersion]
  const start = startOf(run, ip, from === 0 ? undefined : look[from - 1], place)
  const alive = run.filter((v) => !isTerminated(v.document))
  const ended = run.find((v) => isTerminated(v.document))
  const next = ended ?? look[until] ?? place.after
  const lastAlive = alive.at(-1)
  const finishedUs = ended === undefined ? undefined : timeIn(ended.document.status, 'finishedAt')
  const deletedUs = Math.min(...run.map((v) => timeIn(v.document.metadata, 'deletionTimestamp') ?? Infinity))
  const seenUntilUs = lastAlive === undefined ? -Infinity : endOf(lastAlive)
  const untilUs = finishedUs === undefined ? Math.min(seenUntilUs, deletedUs) : Math.min(finishedUs, deletedUs)
  const possibleUntilUs = lastAlive === undefined ? Math.min(first.seenFromUs, first.endedUs ?? Infinity) : possibleEndOf(lastAlive, next, place.nextCovered)
  return { ...start, untilUs, possibleUntilUs }
}

/** `before`: the version of the same look before the run, which lacked the address; statuses are reported late, so that proves nothing. */
function startOf(
  run: readonly ObjectVersion[], ip: string, before: ObjectVersion | undefined, { previous, created }: LookPlace,
): Pick<AddressSpan, 'possibleFromUs' | 'fromUs' | 'certainUs'> {
  const [first] = run as [ObjectVersion]
  // Seen with it: then it had it, whatever clocks say. Seen terminated: it had it at some time before.
  const seenUs = isTerminated(first.document) ? Infinity : first.seenFromUs
  const addressedUs = Math.min(...run.map((v) => timeIn(v.document.status, 'addressedAt') ?? Infinity))
  const startUs = Math.max(created, timeIn(first.document.status, 'startTime') ?? -Infinity)
  const possibleFromUs = Math.min(addressedUs < Infinity ? addressedUs : startUs, seenUs)
  if (before === undefined && previous !== undefined) {
    // It had it before its look changed, too: nobody knows with which look. Where the look before had the address, that one says so.
    const wasSeen = ipsOf(previous.document).includes(ip)
    return { possibleFromUs: wasSeen ? first.seenFromUs : possibleFromUs, fromUs: first.seenFromUs, certainUs: seenUs }
  }
  if (addressedUs < Infinity) return { possibleFromUs, fromUs: possibleFromUs, certainUs: addressedUs }
  return { possibleFromUs, fromUs: seenUs, certainUs: seenUs }
}

function ipsOf(document: StateDocument): string[] {
  return readPodIps(plainOf(document.status), new ObjectReader()).map((a) => a.text)
}

function isTerminated(document: StateDocument): boolean {
  return TERMINATED_PHASES.has(String(plainOf(document.status).phase))
}

function timeIn(part: unknown, field: string): number | undefined {
  const value = plainOf(part)[field]
  return typeof value === 'string' ? parseTimeUs(value) : undefined
}

function plainOf(value: unknown): Plain {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Plain) : {}
}
