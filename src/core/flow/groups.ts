import { compareText } from '../base/order.ts'

/** Smallest union-find over keys. */
export class Groups {
  readonly #parent = new Map<string, string>()

  root(key: string): string {
    let at = key
    for (let next = this.#parent.get(at); next !== undefined && next !== at; next = this.#parent.get(at)) at = next
    if (at !== key) this.#parent.set(key, at)
    return at
  }

  /** The smaller key becomes the root, so that the result does not depend on the order of joins. */
  join(a: string, b: string): void {
    const ra = this.root(a)
    const rb = this.root(b)
    if (ra === rb) return
    if (compareText(ra, rb) < 0) this.#parent.set(rb, ra)
    else this.#parent.set(ra, rb)
  }
}
