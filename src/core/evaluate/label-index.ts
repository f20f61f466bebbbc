import type { Labels } from '../flow/end.ts'
import type { CompiledSelector } from './policy-index.ts'

/** Positions by the labels of what stands there: narrows down what a selector can match, and never decides. */
export class LabelIndex {
  /** Every position, as added. */
  readonly all: number[] = []
  readonly #byLabel = new Map<string, Map<string, number[]>>()

  add(position: number, labels: Labels): void {
    this.all.push(position)
    for (const [key, value] of Object.entries(labels)) {
      let byValue = this.#byLabel.get(key)
      if (byValue === undefined) this.#byLabel.set(key, byValue = new Map<string, number[]>())
      const positions = byValue.get(value)
      if (positions === undefined) byValue.set(value, [position])
      else positions.push(position)
    }
  }

  /** Every position that the selector matches, and maybe more: those that hold one of the values of its rarest `In`, or all. */
  candidates(selector: CompiledSelector): readonly number[] {
    let fewest: readonly (readonly number[])[] = [this.all]
    let count = this.all.length
    for (const { key, requirements } of selector.keys) {
      for (const { operator, values } of requirements) {
        if (operator !== 'In') continue
        const lists = [...new Set(values)].map((value) => this.#byLabel.get(key)?.get(value) ?? [])
        const size = lists.reduce((n, list) => n + list.length, 0)
        if (size < count) [fewest, count] = [lists, size]
      }
    }
    return fewest.length === 1 ? fewest[0] as readonly number[] : fewest.flat()
  }
}
