import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { observeFiles } from '../../src/pipeline/observe-files.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'flowfence-test-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** Invented lines in the shape of Calico's text export; the port is the eighth column. */
const line = (port: string): string => `1767323045 1767323345 wep web-7d4b9c6f58-x2k9p web-7d4b9c6f58-* shop wep db-0 db-* shop 10.0.1.10 10.0.2.20 6 40000 ${port} 3 3 2 dst 6 5 388 1113 allow`

async function report(name: string, content: string | Buffer): Promise<{ received: number; rejected: Readonly<Record<string, number>> }> {
  const path = join(folder, name)
  await writeFile(path, content)
  const { report: found } = await observeFiles([path], { cluster: 'default' })
  return { received: found.received, rejected: found.rejected }
}

test('the last text line of a plain file waits for its line feed: a port may still be in the middle of being written', async () => {
  const growing = `${line('5432')}\n${line('54').split(' 54 ')[0]} 54`
  expect(await report('growing.log', growing)).toMatchObject({ received: 2, rejected: { truncated: 1 } })
  expect(await report('first-line.log', growing.split('\n')[1] ?? '')).toEqual({ received: 1, rejected: { truncated: 1 } })
})

test('in a gzip file nothing can follow: its last line is read', async () => {
  const { rejected } = await report('rotated.log.gz', gzipSync(`${line('5432')}\nNode: n;SIP: 10.0.1.1;SPORT: 5;DIP: 10.0.2.2;DPORT: 80;PROTOCOL: TCP;PolicyVerdict: ACCEPT`))
  expect(rejected).not.toHaveProperty('truncated')
  expect(rejected).toMatchObject({ 'missing-field': 1 })
})
