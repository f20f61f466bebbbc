import { createHash } from 'node:crypto'
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { openFile, openStream } from '../../src/sources/file.ts'
import type { OpenedSource } from '../../src/sources/source.ts'

const LINES = Array.from({ length: 3000 }, (_, i) => `{"n":${i},"pad":"${'x'.repeat(300)}"}\n`).join('')
let folder = ''

beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'flowfence-test-')) })
afterAll(() => rm(folder, { recursive: true, force: true }))

async function file(name: string, content: string | Buffer): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, content)
  return path
}

async function read(source: OpenedSource, fromOffset = 0): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of source.chunks(fromOffset)) chunks.push(Buffer.from(chunk))
  await source.close()
  return Buffer.concat(chunks).toString()
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

describe('plain files', () => {
  test('are read from any offset', async () => {
    const path = await file('plain.ndjson', LINES)
    const source = await openFile(path)
    expect([source.name, source.sizeBytes]).toEqual([path, LINES.length])
    expect(await read(source)).toBe(LINES)
    expect(await read(await openFile(path), 500_000)).toBe(LINES.slice(500_000))
    expect(await read(await openFile(path), LINES.length)).toBe('')
  })

  test('are known by their first complete line, so that a log may grow, be renamed and be copied', async () => {
    const first = await openFile(await file('a.log', '{"a":1}\n'))
    const grown = await openFile(await file('b.log', '\n{"a":1}\n{"b":2}\n'))
    const other = await openFile(await file('c.log', '{"a":2}\n'))
    expect(first.sourceId).toBe(`file:${sha256('{"a":1}').slice(0, 16)}`)
    expect(grown.sourceId).toBe(first.sourceId)
    expect(other.sourceId).not.toBe(first.sourceId)
    expect(first.isFinished).toBe(false)
  })

  test('whose first line says too little are known by their content', async () => {
    for (const [name, text] of [['array.json', '[\n{"a":1}\n]'], ['object.json', '{\n "a": 1\n}\n'], ['partial.json', '{"a":'], ['line.json', '[{"a":1}]\n'], ['bom.json', '\ufeff[{"a":1}]\n']] as const) {
      expect((await openFile(await file(name, text))).sourceId).toBe(`content:${sha256(text)}`)
    }
  })

  test('may be empty', async () => {
    const source = await openFile(await file('empty.ndjson', ''))
    expect([source.sizeBytes, source.sourceId, await read(source)]).toEqual([0, `content:${sha256('')}`, ''])
    expect((await openFile(await file('blank.ndjson', '\n\n \n'))).sizeBytes).toBe(4)
  })
})

describe('gzip files', () => {
  test('are read decompressed, from any offset, and known by their decompressed content', async () => {
    const source = await openFile(await file('plain.ndjson.gz', gzipSync(LINES)))
    expect([source.sizeBytes, source.sourceId]).toEqual([LINES.length, `content:${sha256(LINES)}`])
    expect(await read(source)).toBe(LINES)
    expect(await read(source, 500_001)).toBe(LINES.slice(500_001))
    const repacked = await openFile(await file('repacked.gz', gzipSync(LINES, { level: 1 })))
    expect(repacked.sourceId).toBe(source.sourceId)
  })

  test('are known by their bytes, not their name, and may have several members', async () => {
    const path = await file('no-suffix.log', Buffer.concat([gzipSync('{"a":1}\n'), gzipSync('{"b":2}\n')]))
    expect(await read(await openFile(path))).toBe('{"a":1}\n{"b":2}\n')
    expect(await read(await openFile(await file('plain.gz', '{"a":1}\n')))).toBe('{"a":1}\n')
  })

  test('that are broken are refused by name with the next step', async () => {
    const whole = gzipSync(LINES)
    for (const [name, bytes] of [['cut.gz', whole.subarray(0, whole.length - 20)], ['bad.gz', Buffer.concat([whole.subarray(0, 100), Buffer.alloc(500, 0x55)])]] as const) {
      const path = await file(name, bytes)
      await expect(openFile(path)).rejects.toMatchObject({ code: 'bad-encoding', at: path })
      await expect(openFile(path)).rejects.toThrow(/is broken gzip \(.+\); copy it again, or pass the decompressed file\.$/)
    }
  })
})

describe('standard input', () => {
  test('is spooled, known by its content, and leaves nothing behind', async () => {
    const before = (await readdir(tmpdir())).filter((n) => n.startsWith('flowfence-')).length
    const source = await openStream(Readable.from([Buffer.from(LINES.slice(0, 1000)), Buffer.from(LINES.slice(1000))]))
    expect([source.name, source.sourceId, source.sizeBytes]).toEqual(['stdin', `content:${sha256(LINES)}`, LINES.length])
    expect(await read(source, 10)).toBe(LINES.slice(10))
    expect((await readdir(tmpdir())).filter((n) => n.startsWith('flowfence-')).length).toBeLessThanOrEqual(before)
  })

  test('may be gzip, and may be empty', async () => {
    const source = await openStream(Readable.from([gzipSync(LINES)]))
    expect(source.sourceId).toBe(`content:${sha256(LINES)}`)
    expect(await read(source)).toBe(LINES)
    expect(await read(await openStream(Readable.from([])))).toBe('')
  })

  test('that is broken gzip is refused', async () => {
    await expect(openStream(Readable.from([gzipSync(LINES).subarray(0, 50)]))).rejects.toMatchObject({ code: 'bad-encoding', at: 'stdin' })
  })
})

describe('files that cannot be read', () => {
  test('are refused by name with the next step', async () => {
    const missing = join(folder, 'missing.ndjson')
    await expect(openFile(missing)).rejects.toMatchObject({ code: 'input-unreadable', message: `${missing} does not exist; check the path.`, at: missing })
    await expect(openFile(folder)).rejects.toMatchObject({ code: 'input-unreadable', message: `${folder} is a folder; name the files in it, for example ${join(folder, '*.ndjson')}.` })
  })

  test('without permission say so', async () => {
    const path = await file('secret.ndjson', '{}\n')
    await chmod(path, 0)
    // Root reads everything.
    if (process.getuid?.() === 0) return
    await expect(openFile(path)).rejects.toMatchObject({ code: 'input-unreadable', message: `${path} may not be read by this user; grant read permission.` })
  })
})
