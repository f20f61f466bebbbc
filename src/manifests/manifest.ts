/** What is wrong with an input; the shape of CONTRACTS "inputErrors". */
export interface ManifestError {
  readonly file: string
  readonly line?: number
  readonly message: string
}

/** A Kubernetes object and its origin. Lists are flattened: their items share a document. */
export interface LoadedObject {
  readonly object: Readonly<Record<string, unknown>>
  readonly file: string
  /** Counted from 1 within the file. */
  readonly document: number
  /** Line of a field such as `spec.ingress[0].from`, as near as the text tells; counted from 1. */
  readonly lineOf: (field: string) => number
}

export interface Manifests {
  readonly objects: readonly LoadedObject[]
  readonly inputErrors: readonly ManifestError[]
}
