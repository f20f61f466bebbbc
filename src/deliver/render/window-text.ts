/** The range of a document for people. */
export function windowText(window: { readonly since: string | null; readonly until: string | null }): string {
  if (window.since === null && window.until === null) return 'no flows observed'
  return `flows from ${window.since ?? 'the beginning'} to ${window.until ?? 'now'}`
}
