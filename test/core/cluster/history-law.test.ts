/**
 * Law: whatever the lives of pods and whenever states are taken, in whatever order they arrive, an answer is the true holder with its true labels; and
 * there is an answer wherever a pod was seen before and after, or a watch told everything.
 */
import { expect, it } from '@jest/globals'
import type { ClusterHistory } from '../../../src/core/cluster/cluster-history.ts'
import { clusterBase, podObject, timeUs } from '../../support/cluster-objects.ts'
import { createRandom, rounds } from '../../support/random.ts'
import type { Random } from '../../support/random.ts'
import { StateLog } from '../../support/state-log.ts'

/** A pod as it truly was; seconds. It holds its address in [started, finished). */
interface Life {
  readonly name: string
  readonly uid: string
  readonly ip: string
  readonly created: number
  readonly started: number
  readonly finished: number
  /** Gone from the API server. */
  readonly deleted: number
  /** From then on its label says `late`. */
  readonly relabelled: number
  /** Its status tells when containers started and ended; if not, it ends with its deletion. */
  readonly tells: boolean
}

const SPAN = 400
const IPS = ['10.244.0.10', '10.244.0.11', '10.244.0.12']

function randomLives(random: Random): Life[] {
  const lives: Life[] = []
  for (const ip of IPS) {
    let free = random.int(40)
    for (let i = 0; free < SPAN; i++) {
      const tells = random.chance(0.5)
      const created = Math.max(0, free - random.int(30))
      const started = Math.max(free, created + random.int(10))
      const finished = started + 1 + random.int(120)
      const deleted = tells ? finished + random.int(60) : finished
      // Names return as a StatefulSet's do, one at a time.
      lives.push({ name: `web-${ip.slice(-1)}-${i % 2}`, uid: `u-${ip}-${i}`, ip, created, started, finished, deleted, relabelled: random.chance(0.2) ? started + random.int(100) : Infinity, tells })
      free = finished + random.int(random.chance(0.5) ? 2 : 40)
    }
  }
  return lives.filter((life) => !lives.some((o) => o.name === life.name && o.uid < life.uid && o.created < life.deleted && life.created < o.deleted))
}

function labelOf(life: Life, at: number): string {
  return at >= life.relabelled ? 'late' : 'early'
}

/** Kubernetes does not tell when labels changed: before a pod was seen first, it is taken to have had the labels that it was seen with. */
function knownLabelOf(life: Life, at: number, firstSeen: number): string {
  return labelOf(life, Math.max(at, firstSeen))
}

function objectAt(life: Life, at: number): unknown {
  const { name, uid, ip, created, started, finished, tells } = life
  const labels = { app: name, version: labelOf(life, at), own: uid }
  if (at < started) return podObject(name, { uid, created, labels, phase: 'Pending' })
  const isOver = at >= finished
  return podObject(name, { uid, ip, created, labels, phase: isOver ? 'Succeeded' : 'Running', ...(tells ? { started, ...(isOver ? { finished } : {}) } : {}) })
}

function existing(lives: readonly Life[], at: number): Life[] {
  return lives.filter((l) => l.created <= at && at < l.deleted)
}

interface Watcher {
  readonly history: ClusterHistory
  readonly firstSeen: (life: Life) => number
  readonly mustKnow: (life: Life, at: number) => boolean
}

function isRight(life: Life | undefined, { history, firstSeen }: Watcher, ip: string, at: number): boolean | 'unknown' {
  const holder = history.holderOf(ip, timeUs(at))
  if (holder.kind === 'unknown') return 'unknown'
  if (holder.kind === 'nobody') return life === undefined
  return holder.kind === 'pod' && life !== undefined && holder.pod.labels.own === life.uid && holder.pod.labels.version === knownLabelOf(life, at, firstSeen(life))
}

/** Throws at the first wrong or missing answer; how many addresses were resolved to a pod. */
function check(lives: readonly Life[], watcher: Watcher): number {
  let resolved = 0
  const { history, firstSeen, mustKnow } = watcher
  for (let at = -5; at <= SPAN + 10; at++) {
    for (const ip of IPS) {
      const life = lives.find((l) => l.ip === ip && l.started <= at && at < l.finished)
      const right = isRight(life, watcher, ip, at)
      if (right === true && life !== undefined) resolved++
      if (right === false) throw new Error(`at ${at} ${ip} gives ${JSON.stringify(history.holderOf(ip, timeUs(at)))} but was ${JSON.stringify(life)}`)
      if (right === 'unknown' && life !== undefined && mustKnow(life, at)) throw new Error(`at ${at} ${ip} is unknown, but was ${JSON.stringify(life)}`)
    }
    for (const life of lives) {
      const named = history.podNamed('shop', life.name, timeUs(at))
      const truth = lives.find((l) => l.name === life.name && l.created <= at && at < l.deleted)
      const isOther = named !== undefined && (truth === undefined || named.labels.own !== truth.uid || named.labels.version !== knownLabelOf(truth, at, firstSeen(truth)))
      if (isOther) throw new Error(`at ${at} ${life.name} gives ${JSON.stringify(named)} but was ${JSON.stringify(truth)}`)
    }
  }
  return resolved
}

function moments(random: Random): number[] {
  return [...new Set(Array.from({ length: 2 + random.int(10) }, () => random.int(SPAN)))]
}

it('full states in any order never name the wrong pod, and always the pod that was seen before and after', () => {
  let resolved = 0
  for (let seed = 1; seed <= rounds({ small: 100, full: 3000 }); seed++) {
    const random = createRandom(seed)
    const lives = randomLives(random)
    const times = moments(random)
    const log = new StateLog()
    for (const at of random.shuffle(times)) log.save(timeUs(at), [...clusterBase(), ...existing(lives, at).map((l) => objectAt(l, at))])
    const seenAt = (life: Life): number[] => times.filter((t) => life.started <= t && t < life.finished)
    try {
      resolved += check(lives, {
        history: log.history(),
        firstSeen: (life) => Math.min(...times.filter((t) => life.created <= t && t < life.deleted)),
        mustKnow: (life, at) => {
          const seen = seenAt(life)
          if (seen.length === 0 || life.relabelled < life.finished) return false
          const isAfterStart = life.tells ? at >= life.started : at >= Math.min(...seen)
          return isAfterStart && at <= Math.max(...seen)
        },
      })
    } catch (error) {
      throw new Error(`seed ${seed}, states at ${times.join(' ')}: ${(error as Error).message}`, { cause: error })
    }
  }
  expect(resolved).toBeGreaterThan(10_000)
})

it('a watch that tells every change knows every holder up to its last word, also when its changes are told twice', () => {
  let resolved = 0
  for (let seed = 1; seed <= rounds({ small: 40, full: 1000 }); seed++) {
    const random = createRandom(seed)
    const lives = randomLives(random)
    const from = random.int(100)
    const until = from + random.int(SPAN - from)
    const log = new StateLog()
    log.save(timeUs(from), [...clusterBase(), ...existing(lives, from).map((l) => objectAt(l, from))])
    const changes = lives.flatMap((life) => [life.created, life.started, life.relabelled, life.finished, life.deleted].map((at) => ({ at, life })))
      .filter(({ at, life }) => at > from && at <= until && at <= life.deleted).sort((a, b) => a.at - b.at)
    for (const { at, life } of random.chance(0.5) ? [...changes, ...changes] : changes) {
      if (at < life.deleted) log.change(timeUs(at), 'set', objectAt(life, at))
      else log.change(timeUs(at), 'deleted', objectAt(life, at - 1))
    }
    log.confirm(timeUs(from), timeUs(until))
    try {
      resolved += check(lives, {
        history: log.history(),
        firstSeen: (life) => Math.max(from, life.created),
        mustKnow: (life, at) => at >= from && at <= until && at >= life.started,
      })
    } catch (error) {
      throw new Error(`seed ${seed}, watch from ${from} to ${until}: ${(error as Error).message}`, { cause: error })
    }
  }
  expect(resolved).toBeGreaterThan(5_000)
})
