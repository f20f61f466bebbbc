/**
 * A set of 64-bit digests, each two unsigned 32-bit halves, in open addressing over one typed array: 16 bytes per digest at
 * the usual fill, against about 60 for a Set of strings, and no garbage.
 */
export class DigestSet {
  /** hi at 2i, lo at 2i+1; (0, 0) is an empty slot, so that one digest is stored as (0, 1). */
  private slots: Uint32Array
  private mask: number
  private count = 0

  constructor(expected = 1024) {
    const slots = 2 ** Math.ceil(Math.log2(Math.max(expected, 16) * 2))
    this.slots = new Uint32Array(slots * 2)
    this.mask = slots - 1
  }

  get size(): number {
    return this.count
  }

  /** Adds a digest; false when it was there. */
  add(hi: number, lo: number): boolean {
    if (this.count * 2 > this.mask) this.grow()
    return this.place(hi >>> 0, lo >>> 0)
  }

  has(hi: number, lo: number): boolean {
    return this.slotOf(hi >>> 0, lo >>> 0) < 0
  }

  private place(hi: number, lo: number): boolean {
    const slot = this.slotOf(hi, lo)
    if (slot < 0) return false
    this.slots[slot] = hi
    this.slots[slot + 1] = hi === 0 && lo === 0 ? 1 : lo
    this.count++
    return true
  }

  /** Index of the empty slot where a digest belongs; -1 when it is present. */
  private slotOf(hi: number, lo: number): number {
    if (hi === 0 && lo === 0) lo = 1
    const { slots, mask } = this
    // Digests are uniform already: their low bits are the hash.
    for (let i = (lo ^ (hi << 7)) & mask; ; i = (i + 1) & mask) {
      const slotHi = slots[2 * i]
      const slotLo = slots[2 * i + 1]
      if (slotHi === hi && slotLo === lo) return -1
      if (slotHi === 0 && slotLo === 0) return 2 * i
    }
  }

  private grow(): void {
    const old = this.slots
    this.slots = new Uint32Array(old.length * 2)
    this.mask = this.mask * 2 + 1
    this.count = 0
    for (let i = 0; i < old.length; i += 2) {
      const hi = old[i] as number
      const lo = old[i + 1] as number
      if (hi !== 0 || lo !== 0) this.place(hi, lo)
    }
  }
}
