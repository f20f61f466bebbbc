/** The identity map as documents name it (`recommend`, `check`). */
export interface IdentityMapView {
  /** Version in the store; `null` when it was worked out on the fly and is not among those saved. */
  readonly version: number | null
  /** Label keys that selectors do not use, beyond the default list; in order of namespace and key. */
  readonly ignoredLabels: readonly { readonly namespace: string; readonly key: string; readonly reason: string }[]
}
