import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { chmodSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from '@jest/globals'
import { openDatabase } from '../../src/store/db/database.ts'
import { startEmbedded } from '../../src/store/db/embedded.ts'

const root = mkdtempSync(join(tmpdir(), 'flowfence-embedded-'))
chmodSync(root, 0o711)
afterAll(() => rmSync(root, { recursive: true, force: true }))

async function ask(connectionString: string, text: string): Promise<unknown> {
  const database = openDatabase({ connectionString, maxConnections: 1 })
  try {
    return (await database.query(text)).rows
  } finally {
    await database.close()
  }
}

const mode = (path: string): number => statSync(path).mode & 0o777

test('starts, keeps its data over a restart, listens on the loopback address only, and keeps its password to itself', async () => {
  const folder = join(root, 'one')
  const first = await startEmbedded({ folder, isThrowaway: true })
  await ask(first.connectionString, 'create table kept as select 1 as x')
  expect(await ask(first.connectionString, 'show listen_addresses')).toEqual([{ listen_addresses: '127.0.0.1' }])
  expect([mode(join(folder, 'postgres')), mode(join(folder, 'credentials.json')), mode(join(folder, 'users'))]).toEqual([0o700, 0o600, 0o700])
  await expect(ask(first.connectionString.replace(/:[0-9a-f]{48}@/, ':wrong@'), 'select 1')).rejects.toThrow('password authentication failed')
  await first.stop()
  await first.stop()
  await expect(ask(first.connectionString, 'select 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  const second = await startEmbedded({ folder, isThrowaway: true })
  expect(await ask(second.connectionString, 'select x from kept')).toEqual([{ x: 1 }])
  await second.stop()
})

test('a second user joins the running server, and the last one to leave stops it', async () => {
  const folder = join(root, 'two')
  const first = await startEmbedded({ folder, isThrowaway: true })
  // Another process that lives: the one that started us.
  writeFileSync(join(folder, 'users', String(process.ppid)), '')
  await first.stop()
  expect(await ask(first.connectionString, 'select 1 as x')).toEqual([{ x: 1 }])
  rmSync(join(folder, 'users', String(process.ppid)))
  // Another one that was killed.
  writeFileSync(join(folder, 'users', '4194300'), '')
  const joined = await startEmbedded({ folder, isThrowaway: true })
  expect(joined.connectionString).toBe(first.connectionString)
  await joined.stop()
  expect(existsSync(join(folder, 'postgres', 'postmaster.pid'))).toBe(false)
})

test('many starts at once end up on one server', async () => {
  const folder = join(root, 'many')
  const servers = await Promise.all(Array.from({ length: 5 }, () => startEmbedded({ folder, isThrowaway: true })))
  expect(new Set(servers.map((server) => server.connectionString)).size).toBe(1)
  for (const server of servers) await server.stop()
})

test('a lock whose process was killed is taken over, and half a data folder is made anew', async () => {
  const folder = join(root, 'stale')
  mkdirSync(join(folder, 'postgres.new'), { recursive: true })
  writeFileSync(join(folder, 'postgres.new', 'PG_VERSION'), '18\n')
  writeFileSync(join(folder, 'lock'), '4194300')
  const server = await startEmbedded({ folder, isThrowaway: true })
  expect(await ask(server.connectionString, 'select 1 as x')).toEqual([{ x: 1 }])
  await server.stop()
  expect(existsSync(join(folder, 'lock'))).toBe(false)
})

test('a lock without an owner is taken over', async () => {
  const folder = join(root, 'ownerless')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'lock'), '')
  const server = await startEmbedded({ folder, isThrowaway: true })
  await server.stop()
  expect(existsSync(join(folder, 'lock'))).toBe(false)
})

test('a lock that this process left when it had the same number before, as in a restarted container, is taken over', async () => {
  const folder = join(root, 'same-number')
  mkdirSync(folder)
  writeFileSync(join(folder, 'lock'), String(process.pid))
  const startedAt = performance.now()
  await (await startEmbedded({ folder, isThrowaway: true })).stop()
  expect(performance.now() - startedAt).toBeLessThan(50_000)
  expect(existsSync(join(folder, 'lock'))).toBe(false)
})

test('a folder that is used for something else is left alone', async () => {
  const folder = join(root, 'project')
  mkdirSync(folder)
  writeFileSync(join(folder, '.gitignore'), 'node_modules\n')
  chmodSync(folder, 0o755)
  await expect(startEmbedded({ folder })).rejects.toThrow(`${folder} holds other files, such as .gitignore. Give the embedded database a folder of its own (FLOWFENCE_DATA_DIR).`)
  expect([mode(folder), readFileSync(join(folder, '.gitignore'), 'utf8')]).toEqual([0o755, 'node_modules\n'])
})

test('a data folder without credentials is refused with the next step', async () => {
  const folder = join(root, 'lost')
  await (await startEmbedded({ folder, isThrowaway: true })).stop()
  expect(readFileSync(join(folder, '.gitignore'), 'utf8')).toBe('*\n')
  rmSync(join(folder, 'credentials.json'))
  await expect(startEmbedded({ folder })).rejects.toThrow(`${folder} holds a database but no credentials.json. Restore that file, or remove the folder to start anew.`)
})
