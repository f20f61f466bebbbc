/**
 * What a source of flow logs is to the rest of the program: named, re-readable bytes. A source knows nothing of formats; positions are its own
 * byte offsets. Declared here, not by the consumer, because several sources exist and one ingest pipeline reads them all.
 */

/** One opened input. Close it exactly once, also after an error. */
export interface OpenedSource {
  /**
   * Names the content for ever, whatever the file is called: `file:<16 hex>` for a log that may grow, from its first complete line;
   * `content:<64 hex>` for finished input, from all of its (decompressed) bytes.
   */
  readonly sourceId: string
  /**
   * Nothing can be added to it: gzip and standard input. A plain file without a complete line is named by its content, and may yet be in the middle
   * of being written.
   */
  readonly isFinished: boolean
  /** Shown to people: the path, or `stdin`. */
  readonly name: string
  /** Decompressed bytes when it was opened. */
  readonly sizeBytes: number
  /**
   * The bytes from `fromOffset` on (decompressed), to the end as it was when reading got there. Throws AppError `input-unreadable` or
   * `bad-encoding`, naming the file. A chunk is valid until the next one is asked for.
   */
  chunks(fromOffset: number): AsyncIterable<Buffer>
  close(): Promise<void>
}
