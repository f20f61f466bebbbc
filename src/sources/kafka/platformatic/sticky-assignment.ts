/**
 * Shares the partitions of a group out among its members: everyone gets nearly the same number of those it subscribes to, and keeps what it had as far
 * as that goes, so that a member that comes or goes moves few partitions. Pure.
 */
import type { TopicPartition } from '../kafka-driver.ts'

export interface Member {
  readonly id: string
  readonly topics: readonly string[]
  /** What it says it had, and in which generation of the group; of two that say so, the later one is right. */
  readonly owned: readonly TopicPartition[]
  readonly generation: number
}

interface Share {
  readonly member: Member
  readonly partitions: Map<string, TopicPartition>
}

const keyOf = ({ topic, partition }: TopicPartition): string => `${topic}:${partition}`

/** Partitions by member id. `counts`: partitions of each topic; topics without members or without count are left out. */
export function assignSticky(members: readonly Member[], counts: ReadonlyMap<string, number>): Map<string, TopicPartition[]> {
  const shares = [...members].sort((a, b) => (a.id < b.id ? -1 : 1)).map((member): Share => ({ member, partitions: new Map() }))
  const owners = claims(shares, counts)
  for (const [topic, count] of [...counts].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const able = shares.filter(({ member }) => member.topics.includes(topic))
    for (let partition = 0; partition < count; partition++) {
      const at = { topic, partition }
      const share = owners.get(keyOf(at)) ?? smallest(able)
      share?.partitions.set(keyOf(at), at)
    }
  }
  while (moveOne(shares)) { /* each move brings two shares nearer to each other */ }
  return new Map(shares.map(({ member, partitions }) => [member.id, [...partitions.values()]]))
}

function claims(shares: readonly Share[], counts: ReadonlyMap<string, number>): Map<string, Share> {
  const owners = new Map<string, Share>()
  for (const share of [...shares].sort((a, b) => a.member.generation - b.member.generation)) {
    for (const at of share.member.owned) {
      if (at.partition < (counts.get(at.topic) ?? 0) && share.member.topics.includes(at.topic)) owners.set(keyOf(at), share)
    }
  }
  return owners
}

function smallest(shares: readonly Share[]): Share | undefined {
  let found: Share | undefined
  for (const share of shares) if (found === undefined || share.partitions.size < found.partitions.size) found = share
  return found
}

/** From the largest share that has a partition for one that is smaller by two or more. */
function moveOne(shares: readonly Share[]): boolean {
  for (const from of [...shares].sort((a, b) => b.partitions.size - a.partitions.size)) {
    for (const [key, at] of from.partitions) {
      const to = smallest(shares.filter(({ member }) => member.topics.includes(at.topic)))
      if (to === undefined || to.partitions.size > from.partitions.size - 2) continue
      from.partitions.delete(key)
      to.partitions.set(key, at)
      return true
    }
  }
  return false
}
