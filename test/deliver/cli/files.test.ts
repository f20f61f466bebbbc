import { existsSync } from 'node:fs'
import { readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { CheckDocument } from '../../../src/core/report/check-document.ts'
import { makeFolder, runCli, startCli } from '../../support/run-cli.ts'

const SHOP = fileURLToPath(new URL('../../../examples/shop.yaml', import.meta.url))
const WRONG = fileURLToPath(new URL('../../../examples/wrong-policies', import.meta.url))

let cwd = ''
let remove = (): Promise<void> => Promise.resolve()
const run = (args: readonly string[], stdin?: string) => runCli(args, { cwd, ...(stdin === undefined ? {} : { stdin }) })

beforeAll(async () => {
  const folder = await makeFolder()
  cwd = folder.path
  remove = folder.remove
  await run(['simulate', '--topology', SHOP, '--format', 'hubble', '--minutes', '6', '--out', '.'])
  const flows = await readFile(join(cwd, 'flows.ndjson'), 'utf8')
  await writeFile(join(cwd, 'partly-bad.ndjson'), `{"flow":\n${flows}{"hello":"world"}\n`)
  await writeFile(join(cwd, 'flows.json.gz'), gzipSync(`[${flows.trim().split('\n').join(',\n')}]`))
  await writeFile(join(cwd, 'empty.ndjson'), '')
  await writeFile(join(cwd, 'binary.log'), Buffer.from(Array.from({ length: 4000 }, (_, i) => (i * 7919) % 251)))
  await writeFile(join(cwd, 'not-a-policy.yaml'), 'kind: ConfigMap\napiVersion: v1\n')
  await writeFile(join(cwd, 'refused-policy.yaml'), [
    'apiVersion: networking.k8s.io/v1', 'kind: NetworkPolicy', 'metadata: { name: p, namespace: shop }', 'spec:', '  podSelector: {}', '  ingress:', '  - ports:', '    - port: 99999', '',
  ].join('\n'))
  await writeFile(join(cwd, 'broken.yaml'), 'kind: [\n')
}, 60_000)

afterAll(() => remove())

describe('recommend --flows', () => {
  test('YAML on stdout and a summary on stderr; the same bytes again, gzip and array or not', async () => {
    const first = await run(['recommend', '--flows', 'flows.ndjson', '--namespace', 'payments'])
    expect(first.code).toBe(0)
    expect(first.stdout).toMatch(/^apiVersion: networking.k8s.io\/v1\nkind: NetworkPolicy\n/)
    expect(first.stderr).toMatch(/^3 policies for cluster default, flows from 2026-01-01T00:00:\S+ to \S+\. Sound: yes, tight: yes, irredundant: yes\. Held back for review: \d+\. Refused workloads: 0\./)
    const again = await run(['recommend', '--flows', 'flows.json.gz', '--namespace', 'payments'])
    expect(again.stdout).toBe(first.stdout)
  })

  test('stdin, JSON with the certificate and no input errors', async () => {
    const { code, stdout } = await run(['recommend', '--flows', '-', '--namespace', 'payments', '-o', 'json', '--cluster', 'prod'], await readFile(join(cwd, 'flows.ndjson'), 'utf8'))
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      schema: 'flowfence.recommendation/v1', cluster: 'prod', certificate: { sound: true, tight: true, irredundant: true }, inputErrors: [], refused: [],
    })
  })

  test('text fits 100 columns and holds no control characters', async () => {
    const { stdout } = await run(['recommend', '--flows', 'flows.ndjson', '-o', 'text'])
    expect(stdout).toMatch(/^Recommendation for cluster default, flows from /)
    expect(stdout).toContain('\nCertificate\n  sound: yes, every accepted connection is allowed by the policies\n')
    expect(stdout.split('\n').filter((line) => line.length > 100)).toEqual([])
    // eslint-disable-next-line no-control-regex -- that is what is tested
    expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/)
  })

  test('--out writes a file per policy and the whole document', async () => {
    const { code, stdout, stderr } = await run(['recommend', '--flows', 'flows.ndjson', '--namespace', 'payments', '--out', 'out'])
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' })
    expect(stderr).toContain('Wrote 3 policies and recommendation.json to out\n')
    expect(await readdir(join(cwd, 'out', 'policies', 'payments'))).toEqual(['ledger-db-statefulset.yaml', 'payments-api-deployment.yaml', 'settlement-cronjob.yaml'])
    expect(JSON.parse(await readFile(join(cwd, 'out', 'recommendation.json'), 'utf8'))).toMatchObject({ schema: 'flowfence.recommendation/v1' })
  })

  test('partly bad input: everything good is used, each bad place is listed, exit 0; with --strict 2', async () => {
    const { code, stdout, stderr } = await run(['recommend', '--flows', 'partly-bad.ndjson', 'missing.ndjson', '--namespace', 'payments'])
    expect(code).toBe(0)
    expect(stdout).toBe((await run(['recommend', '--flows', 'flows.ndjson', '--namespace', 'payments'])).stdout)
    expect(stderr).toContain('3 problems in the input (everything else was used)\n  partly-bad.ndjson, line 1: malformed-json: ')
    expect(stderr).toMatch(/\n {2}partly-bad\.ndjson, line \d+: unknown-format: no known flow log has the keys hello\n {2}missing\.ndjson does not exist; check the path\.\n/)
    expect(await run(['recommend', '--flows', 'partly-bad.ndjson', '--namespace', 'payments', '--strict'])).toMatchObject({ code: 2, stdout })
  })

  test.each([
    [['missing.ndjson'], 'flowfence: No flows could be read:\n  missing.ndjson does not exist; check the path.\n'],
    [['.'], 'flowfence: No flows could be read:\n  . is a folder; name the files in it, for example *.ndjson.\n'],
    [['empty.ndjson'], 'flowfence: empty.ndjson: nothing in it, the input is empty.\n'],
  ])('%j: nothing usable, exit 2', async (paths, message) => {
    expect(await run(['recommend', '--flows', ...paths])).toEqual({ code: 2, stdout: '', stderr: message })
  })

  test('manifests given as flows: says where they belong', async () => {
    const { code, stderr } = await run(['recommend', '--flows', 'cluster.yaml'])
    expect(code).toBe(2)
    expect(stderr).toContain(' Policies belong to --policies, cluster state to --cluster-state.\n')
  })

  test('a folder that cannot be written is named, not reported as a defect', async () => {
    expect(await run(['recommend', '--flows', 'flows.ndjson', '--namespace', 'payments', '--out', 'flows.ndjson'])).toMatchObject({
      code: 1, stdout: '', stderr: expect.stringMatching(/^flowfence: [^\n]+: flows\.ndjson\S*\. Choose another place, or change its permissions\.\n$/),
    })
  })

  test('a binary file: nothing usable, with counts by reason', async () => {
    const { code, stdout, stderr } = await run(['recommend', '--flows', 'binary.log'])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(/^flowfence: No usable flow record in binary\.log\. Flow logs of Cilium Hubble, Calico, NetObserv, Antrea, GKE and AWS VPC CNI are understood\.\n {2}binary\.log, line 1: not-text: /)
    expect(stderr).toMatch(/not-text +\d+ {2}binary data or broken UTF-8/)
  })

  test('a namespace nobody was seen in is refused with those that were', async () => {
    expect(await run(['recommend', '--flows', 'flows.ndjson', '--namespace', 'shopp'])).toEqual({
      code: 2, stdout: '', stderr: 'flowfence: No flow of namespace "shopp" was observed. Observed namespaces: kube-system, payments, platform, shop.\n',
    })
  })

  test('--since and --until narrow what is used', async () => {
    const none = await run(['recommend', '--flows', 'flows.ndjson', '--since', '2027-01-01T00:00:00Z'])
    expect(none.code).toBe(2)
    expect(none.stderr).toMatch(/^flowfence: No flow in flows\.ndjson lies between --since and --until\.\n/)
    expect(none.stderr).toMatch(/outside-range +\d+ {2}not between --since and --until/)
    const some = await run(['recommend', '--flows', 'flows.ndjson', '--until', '2026-01-01T00:01:00Z', '-o', 'json'])
    expect(JSON.parse(some.stdout)).toMatchObject({ window: { until: '2026-01-01T00:01:00Z' } })
  })
})

describe('check --flows', () => {
  test('recommended policies deny nothing that was accepted', async () => {
    await run(['recommend', '--flows', 'flows.ndjson', '--out', 'own'])
    const { code, stdout } = await run(['check', '--flows', 'flows.ndjson', '--policies', 'own/policies', '-o', 'json'])
    const document = JSON.parse(stdout) as CheckDocument
    const review = (JSON.parse(await readFile(join(cwd, 'own', 'recommendation.json'), 'utf8')) as { review: { edge?: { from: unknown; to: unknown; port: unknown } }[] }).review
    const held = new Set(review.flatMap((r) => (r.edge === undefined ? [] : [JSON.stringify([r.edge.from, r.edge.to, r.edge.port])])))
    expect(document.findings.filter((f) => !held.has(JSON.stringify([f.from, f.to, f.port])))).toEqual([])
    expect({ code, inputErrors: document.inputErrors }).toEqual({ code: 0, inputErrors: [] })
  })

  test('wrong policies: what would be denied, and why; --fail-on denied makes it 3', async () => {
    const args = ['check', '--flows', 'flows.ndjson', '--policies', join(WRONG, '1-dns-forgotten.yaml'), '--namespace', 'shop']
    const { code, stdout, stderr } = await run(args)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^Check of cluster default, flows from \S+ to \S+\n {2}\d+ connections evaluated: \d+ allowed, 1 would be denied, \d+ uncertain\n/)
    expect(stdout).toMatch(/shop\/orders \(Deployment\) {2}kube-system\/coredns \(Deployment\) +53\/UDP/)
    expect(stdout).toContain('Egress is denied: selected by shop/orders-egress;')
    expect((await run([...args, '--fail-on', 'denied'])).code).toBe(3)
    expect((await run([...args, '--fail-on', 'drift', '--include-denied'])).code).toBe(0)
  })

  test.each([
    ['opened', 'flowfence: --fail-on opened cannot be computed by this version of check, so it would never fail. Possible are denied, uncertain, drift.\n'],
    ['denied,over-grant', 'flowfence: --fail-on over-grant cannot be computed by this version of check, so it would never fail. Possible are denied, uncertain, drift.\n'],
    ['deneid', 'flowfence: --fail-on does not know "deneid". Possible are denied, uncertain, drift.\n'],
    [',', 'flowfence: --fail-on needs a list of denied, uncertain, drift.\n'],
    ['drift', 'flowfence: --fail-on drift needs --include-denied: without it, connections that did not go through are not judged.\n'],
  ])('--fail-on %s is refused, not ignored', async (list, message) => {
    expect(await run(['check', '--flows', 'flows.ndjson', '--policies', WRONG, '--fail-on', list])).toEqual({ code: 2, stdout: '', stderr: message })
  })

  test('unusable policies: file, line and field, exit 2', async () => {
    const missing = await run(['check', '--flows', 'flows.ndjson', '--policies', 'missing.yaml'])
    expect(missing).toEqual({ code: 2, stdout: '', stderr: 'flowfence: No usable NetworkPolicy:\n  missing.yaml: no such file or folder: check the path\n' })
    const refused = await run(['check', '--flows', 'flows.ndjson', '--policies', 'refused-policy.yaml'])
    expect(refused.code).toBe(2)
    expect(refused.stderr).toMatch(/refused-policy\.yaml, line 8: document 1: NetworkPolicy shop\/p: spec\.ingress\[0\]\.ports\[0\]\.port: /)
    expect((await run(['check', '--flows', 'flows.ndjson', '--policies', 'not-a-policy.yaml'])).stderr).toContain('no NetworkPolicy found')
    expect((await run(['check', '--flows', 'flows.ndjson', '--policies', 'broken.yaml'])).stderr).toMatch(/broken\.yaml, line \d+: document 1: not valid YAML/)
  })

  test('partly bad policies: the good ones are judged, the others listed in the document; --strict makes it 2', async () => {
    const args = ['check', '--flows', 'flows.ndjson', '--policies', join(WRONG, '1-dns-forgotten.yaml'), 'refused-policy.yaml', '-o', 'json']
    const { code, stdout, stderr } = await run(args)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect((JSON.parse(stdout) as CheckDocument).inputErrors).toMatchObject([{ file: 'refused-policy.yaml', line: 8 }])
    expect((await run([...args, '--strict'])).code).toBe(2)
  })

  test('two inputs cannot share stdin', async () => {
    expect(await run(['check', '--flows', '-', '--policies', '-'])).toMatchObject({ code: 2, stderr: 'flowfence: --policies and --flows cannot both read stdin (-).\n' })
  })
})

describe('eval', () => {
  const QUERIES = '[{"from":"1.2.3.4","to":"10.0.0.1","port":80},{"from":"shop/none","to":"10.0.0.1","port":80}]'

  test('answers what it can and names what it cannot', async () => {
    const { code, stdout, stderr } = await run(['eval', '--cluster-state', 'cluster.yaml', '--policies', WRONG, '-o', 'json'], QUERIES)
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject([{ from: '1.2.3.4', to: '10.0.0.1', port: 80, protocol: 'TCP', verdict: 'allowed', explanation: { egress: { verdict: 'not-isolated' } } },
      { from: 'shop/none', to: '10.0.0.1', port: 80, protocol: 'TCP', verdict: 'uncertain', explanation: { text: 'Not answered: from: no running pod "shop/none" in the cluster state; give the folder that holds it with --cluster-state.' } }])
    expect(stderr).toContain('stdin: [1]: from: no running pod "shop/none" in the cluster state')
  })

  test('as text says connection and verdict once, then why', async () => {
    expect((await run(['eval', '--cluster-state', 'cluster.yaml', '--policies', WRONG], QUERIES)).stdout)
      .toBe('ALLOWED  1.2.3.4 -> 10.0.0.1 80/TCP\n  Egress is allowed: no policy isolates it. Ingress is allowed: no policy isolates it.\n\n'
        + 'UNCERTAIN  shop/none -> 10.0.0.1 80/TCP\n  Not answered: from: no running pod "shop/none" in the cluster state; give the folder that holds it\n  with --cluster-state.\n')
  })

  test('takes the file of queries after flags that take several paths, and as an argument before them', async () => {
    await writeFile(join(cwd, 'queries.json'), QUERIES)
    const last = await run(['eval', '--policies', WRONG, '--cluster-state', 'cluster.yaml', 'queries.json', '-o', 'json'])
    const first = await run(['eval', 'queries.json', '--policies', WRONG, '--cluster-state', 'cluster.yaml', '-o', 'json'])
    expect(last.code).toBe(0)
    expect(last.stdout).toBe(first.stdout)
  })

  test('--strict makes a bad query 2; only bad ones are 2 anyway', async () => {
    expect((await run(['eval', '--cluster-state', 'cluster.yaml', '--strict'], QUERIES)).code).toBe(2)
    expect((await run(['eval', '--cluster-state', 'cluster.yaml'], '[{"from":"x"}]')).code).toBe(2)
    expect(await run(['eval', '--cluster-state', 'cluster.yaml'], '{')).toMatchObject({ code: 2, stdout: '' })
    expect((await run(['eval', '--cluster-state', 'cluster.yaml', '--', 'none.json'])).stderr).toBe('flowfence: none.json cannot be read: no such file; check the path.\n')
    expect((await run(['eval', '--cluster-state', 'cluster.yaml', 'none.json'])).stderr).toBe('flowfence: none.json cannot be read: no such file; check the path.\n')
  })
})

describe('simulate', () => {
  test('writes the same bytes for the same flags, to stdout or a folder', async () => {
    const { code, stdout } = await run(['simulate', '--topology', SHOP, '--format', 'hubble', '--minutes', '6'])
    expect(code).toBe(0)
    expect(stdout).toBe(await readFile(join(cwd, 'flows.ndjson'), 'utf8'))
    expect((await readdir(cwd)).filter((name) => ['flows.ndjson', 'cluster.yaml', 'truth.json'].includes(name))).toHaveLength(3)
  })

  test('a reader that goes away ends it quietly', async () => {
    const started = startCli(['simulate', '--topology', SHOP, '--format', 'hubble', '--minutes', '600'], { cwd })
    await started.waitForStdout('\n')
    started.closeStdout()
    expect(await started.result).toMatchObject({ code: 0, stderr: '' })
  })

  test('Ctrl-C ends it', async () => {
    const started = startCli(['simulate', '--topology', SHOP, '--format', 'hubble', '--minutes', '60000', '--out', 'endless'], { cwd })
    // Its files are there once it has begun, which is after the signal's handler was installed.
    while (!existsSync(join(cwd, 'endless/flows.ndjson'))) await new Promise((done) => setTimeout(done, 50))
    started.kill('SIGINT')
    const { code, stderr } = await started.result
    expect(code).toBe(130)
    expect(stderr).toContain('Stopping; press Ctrl-C again to stop at once.\n')
  })

  test('a topology that cannot be read is named', async () => {
    const { code, stderr } = await run(['simulate', '--topology', 'none', '--format', 'hubble'])
    expect({ code, stderr }).toEqual({ code: 2, stderr: 'flowfence: cannot read the topology none: give a YAML file or a folder with workloads.yaml, services.yaml and edges.json\n' })
  })
})
