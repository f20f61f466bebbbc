import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { runCli } from '../support/run-cli.ts'
import { readText } from './repository-files.ts'

const example = (name: string): string => fileURLToPath(new URL(`../../examples/${name}`, import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'flowfence-readme-'))
const FLOWS = ['--flows', 'shop/flows.ndjson']

beforeAll(async () => {
  const { code } = await runCli(['simulate', '--topology', example('shop.yaml'), '--format', 'hubble', '--minutes', '60', '--out', 'shop'], { cwd: folder })
  expect(code).toBe(0)
}, 120_000)
afterAll(() => { rmSync(folder, { recursive: true, force: true }) })

/** The pieces of a README sample, between the places where it is cut. */
function piecesOf(name: string): string[] {
  const [, sample] = new RegExp(`<!-- sample:${name} -->\\n\`\`\`\\w*\\n([^]*?)\`\`\``).exec(readText('README.md')) ?? []
  const pieces = (sample ?? '').split(/^…$/m).map((piece) => piece.trim()).filter((piece) => piece !== '')
  expect(pieces.length).toBeGreaterThan(0)
  return pieces
}

test.each([
  ['recommend-yaml', ['recommend', ...FLOWS, '--namespace', 'payments', '-o', 'yaml']],
  ['recommend-text', ['recommend', ...FLOWS, '--namespace', 'payments', '-o', 'text']],
  ['certificate', ['recommend', ...FLOWS, '--namespace', 'payments', '-o', 'text']],
  ['check', ['check', ...FLOWS, '--cluster-state', 'shop/cluster.yaml', '--policies', example('wrong-policies/1-dns-forgotten.yaml')]],
])('the README sample "%s" is what the command prints', async (name, args) => {
  const { stdout, code } = await runCli(args, { cwd: folder })
  expect(code).toBe(0)
  for (const piece of piecesOf(name)) expect(stdout).toContain(piece)
}, 60_000)

test('truth.json beside the simulated flows is what the recommendation is made of', async () => {
  const truth = JSON.parse(readFileSync(join(folder, 'shop/truth.json'), 'utf8')) as { from: { kind: string }; to: { kind: string; namespace?: string } }[]
  const { stdout } = await runCli(['recommend', ...FLOWS, '-o', 'json'], { cwd: folder })
  const document = JSON.parse(stdout) as { evidence: Record<string, Record<string, unknown[]>>; certificate: { sound: boolean; tight: boolean } }
  const evidence = Object.values(document.evidence).flatMap((rules) => Object.entries(rules)).flatMap(([rule, edges]) => (rule.startsWith('ingress') ? edges : []))
  expect(evidence).toHaveLength(truth.filter((e) => e.to.kind === 'pod' && (e.from.kind === 'pod' || e.from.kind === 'external')).length)
  expect(document.certificate).toMatchObject({ sound: true, tight: true })
}, 60_000)
