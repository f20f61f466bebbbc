import { escapeHtml } from './escape-text.ts'

export interface HomePageInput {
  readonly version: string
  readonly cluster: string
  readonly endpoints: readonly { readonly method: string; readonly path: string; readonly summary: string }[]
}

/** The page at `/`: what runs here. No scripts, nothing from elsewhere. */
export function renderHomePage({ version, cluster, endpoints }: HomePageInput): string {
  const rows = endpoints.map(({ method, path, summary }) => {
    const isLink = method === 'GET' && !path.includes(':')
    const shown = escapeHtml(path)
    return `    <tr><td>${escapeHtml(method)}</td><td>${isLink ? `<a href="${shown}">${shown}</a>` : shown}</td><td>${escapeHtml(summary)}</td></tr>`
  })
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>flowfence</title></head>
<body>
  <h1>flowfence</h1>
  <p>This service stores the flow logs of cluster <b>${escapeHtml(cluster)}</b>, recommends NetworkPolicies that allow exactly the
  observed connections, and tells which of them any set of policies would deny. Version ${escapeHtml(version)}.</p>
  <table>
    <tr><th>Method</th><th>Path</th><th>What it does</th></tr>
${rows.join('\n')}
  </table>
  <p>Errors are RFC 9457 problems. Times are RFC 3339, ranges are [since, until).</p>
</body>
</html>
`
}
