import type { Outcome } from '../flow/flow-record.ts'
import type { Fields } from './field-layouts.ts'

/**
 * What the records of one format look like, for who reads them by position from their bytes. Any key that is not told here makes a record one to be
 * parsed: it may decide how the record is read, or what format it is of.
 */
export interface FieldPlan {
  /** Keys whose values are read. Their places are those of the fields, one object after the other. */
  readonly read: readonly string[]
  /** Keys that the format has, too, and that change nothing. */
  readonly unread: readonly string[]
  /** A key whose value is an object, and its keys, which follow in the fields. A record without this object is to be parsed. */
  /** Keys whose values mostly go with the value of another key, which comes before: the labels of a pod with its name. A hint, and nothing more. */
  readonly follows: Readonly<Record<string, string>>
  readonly nested?: { readonly key: string; readonly read: readonly string[] }
}

/** Reads records by position, where their keys are all of the plan. */
export interface FieldReader {
  readonly plan: FieldPlan
  /**
   * The outcome of a record with these values, `undefined` where it lacks the key. `undefined` when they do not show that the record is of this
   * format. The fields, and what they hold, must not be changed; the array is written over by the next record.
   */
  readFields(fields: Fields): Outcome | undefined
}
