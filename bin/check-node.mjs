/**
 * Plain JavaScript on purpose: it must run on the very Node versions it refuses.
 * Supported: 22.22 and later of 22, 24.6 and later (package.json "engines").
 */
export function nodeVersionProblem(version) {
  const [major, minor] = version.replace(/^v/, '').split('.').map(Number)
  if ((major === 22 && minor >= 22) || (major === 24 && minor >= 6) || major > 24) return undefined
  return [
    `flowfence needs Node ^22.22.0 or >=24.6.0, but this is Node ${version.replace(/^v/, '')}.`,
    'Next step: run it through npm ("npm run demo", "npm test"), which uses the Node 24 that "npm ci" installs.',
    'If npm itself shows this message, install scripts are switched off: run "npm ci --ignore-scripts=false", or install Node 24.',
  ].join('\n')
}

export function checkNodeVersion() {
  const problem = nodeVersionProblem(process.version)
  if (problem === undefined) return
  process.stderr.write(`${problem}\n`)
  process.exit(2)
}
