import { appendFileSync, chmodSync, copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { findLogs } from '../../src/sources/find-logs.ts'
import { FollowedLog } from '../../src/sources/follow-file.ts'
import { rotationsOf, unreadableSuffix } from '../../src/sources/log-names.ts'
import { createRandom, rounds } from '../support/random.ts'

const root = mkdtempSync(join(tmpdir(), 'flowfence-follow-'))
let folders = 0
let folder = ''
let path = ''
let notices: string[] = []
const open: FollowedLog[] = []

beforeEach(() => {
  folder = join(root, String(folders++))
  mkdirSync(folder)
  path = join(folder, 'flows.log')
  notices = []
})
afterEach(async () => { for (const log of open.splice(0)) await log.close() })
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** A reader as the pipeline is one: positions by the name of the content, the text of every content in order. */
class Reader {
  readonly log: FollowedLog
  readonly positions: Map<string, number>
  text = ''

  constructor(positions = new Map<string, number>(), quietMs = 0) {
    this.log = new FollowedLog(path, { onNotice: (text) => notices.push(text), quietMs, searchMs: 0, copyMs: 0 })
    this.positions = positions
    open.push(this.log)
  }

  /** Reads until nothing is new. */
  async read(): Promise<string> {
    const before = this.text.length
    for (let idle = 0; idle < 3;) idle = await this.#readOnce() ? 0 : idle + 1
    return this.text.slice(before)
  }

  async #readOnce(): Promise<boolean> {
    let isNew = false
    for (const part of await this.log.look()) {
      const slice = await part.slice(this.positions.get(part.source.sourceId) ?? 0)
      if (slice !== undefined) {
        isNew = true
        this.text += await textOf(slice.source.chunks(this.positions.get(part.source.sourceId) ?? 0))
        this.positions.set(part.source.sourceId, slice.source.sizeBytes)
      }
      if (slice?.isLast !== false) part.settle()
    }
    return isNew
  }
}

async function textOf(chunks: AsyncIterable<Buffer> | Iterable<Buffer>): Promise<string> {
  const all: Buffer[] = []
  for await (const chunk of chunks) all.push(Buffer.from(chunk))
  return Buffer.concat(all).toString('latin1')
}

describe('a log that grows', () => {
  test('is read as far as its lines are complete', async () => {
    writeFileSync(path, '{"a":1}\n{"b"')
    const reader = new Reader()
    expect(await reader.read()).toBe('{"a":1}\n')
    expect(await reader.read()).toBe('')
    appendFileSync(path, ':2}\n{"c":3}\n')
    expect(await reader.read()).toBe('{"b":2}\n{"c":3}\n')
  })

  test('may be cut in the middle of a character: its line waits for the rest', async () => {
    const line = Buffer.from('{"name":"größe"}\n')
    const cut = line.indexOf(0xc3) + 1
    const reader = new Reader()
    writeFileSync(path, Buffer.concat([Buffer.from('{"a":1}\n'), line.subarray(0, cut)]))
    expect(await reader.read()).toBe('{"a":1}\n')
    appendFileSync(path, line.subarray(cut))
    expect(await reader.read()).toBe(line.toString('latin1'))
    expect(notices).toEqual([])
  })

  test('need not be there yet, nor hold anything: that is said once', async () => {
    const reader = new Reader()
    expect([await reader.read(), await reader.read()]).toEqual(['', ''])
    writeFileSync(path, '')
    expect(await reader.read()).toBe('')
    appendFileSync(path, '\n\n{"a":1}')
    expect(await reader.read()).toBe('')
    appendFileSync(path, '\n')
    expect(await reader.read()).toBe('\n\n{"a":1}\n')
    expect(notices).toEqual([`${path} does not exist yet; waiting for it.`])
  })

  test('is no document over several lines: that is said with the command that reads one', async () => {
    writeFileSync(path, '[\n{"a":1}\n')
    expect(await new Reader().read()).toBe('')
    expect(notices).toEqual([`${path} is a JSON document over several lines, not a log of lines. Store it with: flowfence ingest ${path}`])
  })

  test('without permission is told once and read when it is granted', async () => {
    writeFileSync(path, '{"a":1}\n')
    chmodSync(path, 0)
    // Root reads everything.
    if (process.getuid?.() === 0) return
    const reader = new Reader()
    expect([await reader.read(), await reader.read()]).toEqual(['', ''])
    expect(notices).toEqual([`${path} may not be read by this user; grant read permission. It is tried again.`])
    chmodSync(path, 0o600)
    expect(await reader.read()).toBe('{"a":1}\n')
  })
})

describe('rotation by rename', () => {
  test('reads the old file to its end first, also what is written after the rename', async () => {
    writeFileSync(path, '{"a":1}\n')
    const reader = new Reader(undefined, 60_000)
    await reader.read()
    appendFileSync(path, '{"a":2}\n')
    renameSync(path, `${path}.1`)
    writeFileSync(path, '{"b":1}\n')
    expect(await reader.read()).toBe('{"a":2}\n{"b":1}\n')
    appendFileSync(`${path}.1`, '{"a":3}\n')
    expect(await reader.read()).toBe('{"a":3}\n')
  })

  test('finds the files of rotations that happened between two looks', async () => {
    writeFileSync(path, '{"a":1}\n')
    const reader = new Reader()
    await reader.read()
    for (const name of ['b', 'c', 'd']) {
      for (const n of [2, 1]) if (n > 1 || name !== 'b') renameIfThere(`${path}.${n}`, `${path}.${n + 1}`)
      renameIfThere(path, `${path}.1`)
      writeFileSync(path, `{"${name}":1}\n`)
      age(`${path}.1`, name.charCodeAt(0))
    }
    expect((await reader.read()).trim().split('\n').sort()).toEqual(['{"b":1}', '{"c":1}', '{"d":1}'])
  })

  test('while nobody looked: each byte is read once, whatever the files are called now', async () => {
    writeFileSync(path, '{"a":1}\n{"a":2}\n')
    const first = new Reader()
    await first.read()
    await first.log.close()
    appendFileSync(path, '{"a":3}\n')
    writeFileSync(`${path}.2.gz`, gzipSync('{"a":1}\n{"a":2}\n{"a":3}\n'))
    age(`${path}.2.gz`, 10)
    writeFileSync(`${path}-20260131`, '{"b":1}\n')
    age(`${path}-20260131`, 20)
    writeFileSync(join(folder, 'flows-2026-02-01T00-00-00.000.log'), '{"c":1}\n')
    age(join(folder, 'flows-2026-02-01T00-00-00.000.log'), 30)
    writeFileSync(path, '{"d":1}\n')
    const second = new Reader(first.positions)
    expect((await second.read()).trim().split('\n')).toHaveLength(4)
    expect(second.text.trim().split('\n').sort()).toEqual(['{"a":3}', '{"b":1}', '{"c":1}', '{"d":1}'])
  })

  test('keeps a deleted file open until it is read', async () => {
    writeFileSync(path, '{"a":1}\n')
    const reader = new Reader(undefined, 60_000)
    await reader.read()
    appendFileSync(path, '{"a":2}\n')
    rmSync(path)
    expect(await reader.read()).toBe('{"a":2}\n')
    writeFileSync(path, '{"b":1}\n')
    expect(await reader.read()).toBe('{"b":1}\n')
  })

  test('takes the cut-off last line of a rotated file when nobody writes it any more, once', async () => {
    writeFileSync(path, '{"a":1}\n{"a":')
    const reader = new Reader()
    await reader.read()
    renameSync(path, `${path}.1`)
    writeFileSync(path, '{"b":1}\n')
    expect(await reader.read()).toBe('{"a":{"b":1}\n')
    expect(await reader.read()).toBe('')
  })
})

describe('copytruncate', () => {
  test('reads the rest from the copy and the file from its start', async () => {
    writeFileSync(path, '{"a":1}\n')
    const reader = new Reader()
    await reader.read()
    appendFileSync(path, '{"a":2}\n')
    copyFileSync(path, `${path}.1`)
    truncateSync(path)
    appendFileSync(path, '{"b":1}\n')
    expect((await reader.read()).split('\n').sort()).toEqual(['', '{"a":2}', '{"b":1}'])
    expect(notices).toEqual([`${path} was emptied and written anew; what had not been read of it is read from its copy.`])
  })

  test('between a look and reading never mixes the former content with the new one, however long that is', async () => {
    writeFileSync(path, '{"a":1}\n{"a":2}\n')
    const reader = new Reader()
    const [part] = await reader.log.look()
    const slice = await part?.slice(8)
    writeFileSync(path, '{"b":1}\n{"b":2}\n{"b":3}\n')
    await expect(textOf(slice?.source.chunks(8) ?? [])).rejects.toMatchObject({ code: 'input-unreadable', retryable: true })
  })

  test('without a copy tells from where lines may be lost', async () => {
    writeFileSync(path, '{"a":1}\n')
    const reader = new Reader()
    await reader.read()
    writeFileSync(path, '{"b":1}\n{"b":2}\n{"b":3}\n')
    expect(await reader.read()).toBe('{"b":1}\n{"b":2}\n{"b":3}\n')
    expect(notices).toEqual([`${path} was emptied and written anew, and no copy of it lies beside it: lines written after byte 8, if any, are lost.`])
  })
})

describe('compressed rotations', () => {
  test('of a file that was read hold nothing new', async () => {
    writeFileSync(path, '{"a":1}\n')
    const reader = new Reader()
    await reader.read()
    rmSync(path)
    writeFileSync(`${path}.1.gz`, gzipSync('{"a":1}\n'))
    writeFileSync(path, '{"b":1}\n')
    expect(await reader.read()).toBe('{"b":1}\n')
  })

  test('that are being written are looked at again; what stays broken is told once, and others are still read', async () => {
    const packed = gzipSync('{"a":1}\n'.repeat(50))
    writeFileSync(`${path}.1.gz`, packed.subarray(0, packed.length - 9))
    writeFileSync(path, '{"b":1}\n')
    const reader = new Reader(undefined, 60_000)
    expect(await reader.read()).toBe('{"b":1}\n')
    writeFileSync(`${path}.1.gz`, packed)
    expect(await reader.read()).toBe('{"a":1}\n'.repeat(50))
    writeFileSync(`${path}.2.gz`, packed.subarray(0, 30))
    age(`${path}.2.gz`, 1)
    await reader.read()
    await reader.read()
    expect(notices).toEqual([expect.stringMatching(/flows\.log\.2\.gz is broken gzip \(.+\); copy it again, or pass the decompressed file\. It is tried again\.$/)])
  })

  test('are read to their end when rotations rename them meanwhile, never the file that took their name', async () => {
    writeFileSync(`${path}.1.gz`, gzipSync('{"a":1}\n'))
    writeFileSync(path, '{"b":1}\n')
    const reader = new Reader(undefined, 60_000)
    const part = (await reader.log.look()).find((p) => p.contentDigest !== undefined)
    renameSync(`${path}.1.gz`, `${path}.2.gz`)
    writeFileSync(`${path}.1.gz`, gzipSync('{"c":1}\n'))
    const slice = await part?.slice(0)
    expect(await textOf(slice?.source.chunks(0) ?? [])).toBe('{"a":1}\n')
    expect((await reader.read()).split('\n').sort()).toEqual(['', '{"a":1}', '{"b":1}', '{"c":1}'])
    expect(notices).toEqual([])
  })

  test('that cannot be read are named once', async () => {
    writeFileSync(`${path}.1.xz`, 'x')
    writeFileSync(path, '{"b":1}\n')
    const reader = new Reader()
    await reader.read()
    await reader.read()
    expect(notices).toEqual([expect.stringContaining('flows.log.1.xz is left out: .xz files cannot be read.')])
  })
})

test('any order of writes, rotations and looks gives every line once', async () => {
  for (let round = 0; round < rounds({ small: 20, full: 400 }); round++) {
    const random = createRandom(0xf0 + round)
    folder = join(root, `law-${round}`)
    mkdirSync(folder)
    path = join(folder, 'flows.log')
    let reader = new Reader(undefined, 60_000)
    const read: string[] = []
    let lines = 0
    for (let step = 0; step < 60; step++) {
      const act = random.int(10)
      if (act < 5) {
        appendFileSync(path, `{"n":${lines++},"é":"${'x'.repeat(random.int(200))}"}\n`)
      } else if (act < 7) {
        await reader.read()
      } else if (act === 7) {
        for (let n = 8; n > 0; n--) for (const suffix of ['', '.gz']) renameIfThere(`${path}.${n}${suffix}`, `${path}.${n + 1}${suffix}`)
        renameIfThere(path, `${path}.1`)
        writeFileSync(path, '')
      } else if (act === 8) {
        for (let n = 9; n > 0; n--) renameIfThere(`${path}.${n}`, `${path}.${n + 1}`)
        if (lines === 0) continue
        copyFileSync(path, `${path}.1`)
        truncateSync(path)
      } else {
        read.push(reader.text)
        await reader.log.close()
        reader = new Reader(reader.positions, 60_000)
      }
    }
    await reader.read()
    read.push(reader.text)
    const seen = read.join('').split('\n').filter((line) => line !== '').map((line) => (JSON.parse(line) as { n: number }).n).sort((a, b) => a - b)
    expect({ round, seen }).toEqual({ round, seen: Array.from({ length: lines }, (_, n) => n) })
  }
})

describe('names', () => {
  test('of rotated files are told from those of other logs', () => {
    const isRotation = rotationsOf('flows.log')
    const rotated = ['flows.log.1', 'flows.log.2.gz', 'flows.log-20260131', 'flows.log-20260131-1769817600.gz', 'flows.log.2026-01-31', 'flows.log.gz', 'flows-2026-01-31T12-00-00.000.log',
      'flows-2026-01-31T12-00-00.000.log.gz', 'flows.log.3.xz', 'flows.20260131.log']
    expect(rotated.filter((name) => !isRotation(name))).toEqual([])
    expect(['flows.log', 'flows-1.log', 'flows2.log', 'other.log.1', 'flows.log.bak', 'flows.json', 'myflows.log.1', 'flowsXlog.1'].filter(isRotation)).toEqual([])
    expect(['a.1', 'a.1.gz', 'a.1.zst', 'a.1.xz'].map(unreadableSuffix)).toEqual([undefined, undefined, '.zst', '.xz'])
  })

  test('of folders and globs give their logs, without rotated files, hidden ones and second names', async () => {
    for (const name of ['a.log', 'a.log.1', 'a.log.2.gz', 'a-2026-01-31T12-00-00.000.log', 'b.log', '.hidden', 'old.log.7']) writeFileSync(join(folder, name), 'x\n')
    mkdirSync(join(folder, 'sub'))
    symlinkSync(join(folder, 'a.log'), join(folder, 'z.log'))
    const found = async (...patterns: string[]): Promise<string[]> => (await findLogs(patterns.map((p) => join(folder, p)), [])).map((log) => `${log.path.slice(folder.length + 1)}${log.isNamed ? '!' : ''}`)
    expect(await found('.')).toEqual(['a.log', 'b.log', 'old.log.7'])
    expect(await found('*.log')).toEqual(['a.log', 'b.log'])
    expect(await found('b.log', '*.log', 'missing.log', 'none-*')).toEqual(['b.log!', 'missing.log!', 'a.log'])
    rmSync(join(folder, 'a.log'))
    expect((await findLogs([join(folder, 'a*')], [join(folder, 'a.log')])).map((log) => log.path)).toEqual([])
  })
})

function renameIfThere(from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch {
    // Not there.
  }
}

/** Sets a time of last change in the past, so that files have an order. */
function age(file: string, seconds: number): void {
  utimesSync(file, seconds, seconds)
}
