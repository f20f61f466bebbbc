/**
 * Hubble lines among very many pods, as bytes: made by copying what is prepared for each pod, so that making them costs less than reading them.
 * Same seed, same lines. Every pod has a name and an address of its own; there are 300 sets of labels and 500 nodes.
 */
import { createRandom } from '../support/random.ts'

const LABEL_SETS = 300
const NODES = 500
const MAX_LINE = 2048
const HEAD = '{"flow":{"time":"2026-01-01T00:00:00.000Z","uuid":"00000000'
const TIME_AT = 17
const TIME_LENGTH = 24
/** Where two digits of the time stand. */
const HOURS = TIME_AT + 11
const MINUTES = TIME_AT + 14
const SECONDS = TIME_AT + 17
const HUNDREDTHS = TIME_AT + 20
const ZERO = 48

/** Texts behind one another in one buffer: a Buffer for each would be a heap of its own. */
class Texts {
  readonly #bytes: Buffer
  readonly #starts: Uint32Array

  constructor(amount: number, text: (i: number) => string) {
    this.#starts = new Uint32Array(amount + 1)
    const parts: Buffer[] = []
    // A thousand texts at a time: joining all of them would make one string of a hundred megabytes.
    for (let i = 0; i < amount;) {
      let part = ''
      for (const end = Math.min(amount, i + 1000); i < end; i++) {
        const one = text(i)
        this.#starts[i + 1] = (this.#starts[i] as number) + one.length
        part += one
      }
      parts.push(Buffer.from(part, 'latin1'))
    }
    this.#bytes = Buffer.concat(parts)
  }

  /** Writes text number `i`; the result is where it ends. */
  write(i: number, to: Buffer, at: number): number {
    return at + this.#bytes.copy(to, at, this.#starts[i], this.#starts[i + 1])
  }
}

/** Each call gives the next `amount` lines, valid until the next call. */
export function largeClusterChunks(podCount: number, amount: number): () => Buffer {
  const random = createRandom(9)
  const end = (i: number): string => {
    const set = i % LABEL_SETS
    return `"identity":${2000 + set},"cluster_name":"default","namespace":"team-${set % 20}","labels":["k8s:app=app-${set}","k8s:io.cilium.k8s.policy.cluster=default","k8s:io.kubernetes.pod.namespace=team-${
      set % 20}"],"pod_name":"app-${set}-7d4b9c6f58-${i.toString(36)}x"`
  }
  const ip = (i: number): string => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`
  const from = new Texts(podCount, (i) => `-1111-4222-8333-444455556666","verdict":"FORWARDED","IP":{"source":"${ip(i)}","destination":"`)
  const to = new Texts(podCount, (i) => `${ip(i)}","ipVersion":"IPv4"},"l4":{"TCP":{"source_port":`)
  const sources = new Texts(podCount, (i) => `,"destination_port":8080,"flags":{"SYN":true}}},"source":{"ID":${1 + (i % 200)},${end(i)},"workloads":[{"name":"app-${
    i % LABEL_SETS}","kind":"Deployment"}]},"destination":{`)
  const destinations = new Texts(podCount, (i) => `${end(i)}},"Type":"L3_L4","node_name":"default/node-`)
  const tails = new Texts(NODES, (i) => `${i}","event_type":{"type":4,"sub_type":4},"traffic_direction":"EGRESS","trace_observation_point":"TO_OVERLAY","is_reply":false,"Summary":"TCP Flags: SYN"},"node_name":"default/node-${
    i}","time":"`)
  const head = Buffer.from(HEAD, 'latin1')
  const bytes = Buffer.alloc(amount * MAX_LINE)
  let count = 0

  function writeLine(start: number): number {
    const [source, destination] = [random.int(podCount), random.int(podCount)]
    setTime(head, ++count)
    writeDigits(head, head.length - 8, count, 8)
    let at = start + head.copy(bytes, start)
    at = to.write(destination, bytes, from.write(source, bytes, at))
    at = writeDigits(bytes, at, 32_768 + random.int(28_000), 5)
    at = tails.write(source % NODES, bytes, destinations.write(destination, bytes, sources.write(source, bytes, at)))
    at += head.copy(bytes, at, TIME_AT, TIME_AT + TIME_LENGTH)
    return at + bytes.write('"}\n', at, 'latin1')
  }

  return () => {
    let at = 0
    for (let i = 0; i < amount; i++) at = writeLine(at)
    return bytes.subarray(0, at)
  }
}

/** Decimal digits with leading zeros. */
function writeDigits(bytes: Buffer, at: number, value: number, digits: number): number {
  let rest = value
  for (let i = at + digits - 1; i >= at; i--) {
    bytes[i] = ZERO + (rest % 10)
    rest = Math.floor(rest / 10)
  }
  return at + digits
}

/** A hundred lines a second. */
function setTime(head: Buffer, count: number): void {
  const second = Math.floor(count / 100)
  writeDigits(head, HUNDREDTHS, count % 100, 2)
  writeDigits(head, SECONDS, second % 60, 2)
  writeDigits(head, MINUTES, Math.floor(second / 60) % 60, 2)
  writeDigits(head, HOURS, Math.floor(second / 3600) % 24, 2)
}
