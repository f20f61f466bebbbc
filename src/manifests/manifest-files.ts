import { open, readdir, realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { compareText } from '../core/base/order.ts'
import type { ManifestError } from './manifest.ts'

/** 64 MiB of text; parsed YAML takes some ten times that in memory. Higher: bigger dumps in one file, more memory. */
const FILE_LIMIT_BYTES = 64 * 1024 * 1024

const MANIFEST_NAME = /\.(ya?ml|json)$/i

/** Stands for stdin among paths. */
const STDIN = '-'

interface Listed {
  readonly files: readonly string[]
  readonly inputErrors: readonly ManifestError[]
}

/** The files behind a path: itself, or the manifests of a folder and its folders, in code-unit order. */
export async function listManifestFiles(path: string): Promise<Listed> {
  if (path === STDIN) return { files: [STDIN], inputErrors: [] }
  try {
    if (!(await stat(path)).isDirectory()) return { files: [path], inputErrors: [] }
  } catch (error) {
    return { files: [], inputErrors: [{ file: path, message: unreadable(error) }] }
  }
  const found: Found = { files: [], inputErrors: [] }
  await walk(path, found, new Set())
  if (found.files.length === 0 && found.inputErrors.length === 0) {
    found.inputErrors.push({ file: path, message: 'this folder holds no *.yaml, *.yml or *.json file: check the path' })
  }
  return found
}

interface Found {
  readonly files: string[]
  readonly inputErrors: ManifestError[]
}

/** Follows links (a mounted ConfigMap is made of them), each folder once. */
async function walk(folder: string, found: Found, visited: Set<string>): Promise<void> {
  try {
    const real = await realpath(folder)
    if (visited.has(real)) return
    visited.add(real)
    for (const name of (await readdir(folder)).sort(compareText)) {
      if (name.startsWith('.')) continue
      await visit(join(folder, name), found, visited)
    }
  } catch (error) {
    found.inputErrors.push({ file: folder, message: unreadable(error) })
  }
}

async function visit(path: string, found: Found, visited: Set<string>): Promise<void> {
  try {
    const status = await stat(path)
    if (status.isDirectory()) await walk(path, found, visited)
    else if (status.isFile() && MANIFEST_NAME.test(path)) found.files.push(path)
  } catch (error) {
    if (MANIFEST_NAME.test(path)) found.inputErrors.push({ file: path, message: unreadable(error) })
  }
}

/** The text of a file or of stdin; an error instead of a throw. */
export async function readText(file: string, stdin: Readable): Promise<{ text: string } | { error: ManifestError }> {
  try {
    const bytes = file === STDIN ? await readLimited(stdin) : await readFileLimited(file)
    if (bytes === undefined) {
      return { error: { file, message: `larger than ${FILE_LIMIT_BYTES / 1024 / 1024} MiB: split it, or export only namespaces, nodes, pods, services and policies` } }
    }
    if (bytes.includes(0)) return { error: { file, message: 'this is a binary file, not YAML or JSON text' } }
    const text = decodeUtf8(bytes)
    return text === undefined ? { error: { file, message: 'not UTF-8 text: save it as UTF-8' } } : { text }
  } catch (error) {
    return { error: { file, message: unreadable(error) } }
  }
}

function decodeUtf8(bytes: Buffer): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}

async function readFileLimited(file: string): Promise<Buffer | undefined> {
  const handle = await open(file, 'r')
  try {
    if ((await handle.stat()).size > FILE_LIMIT_BYTES) return undefined
    return await readLimited(handle.createReadStream({ autoClose: false }))
  } finally {
    await handle.close()
  }
}

/** All bytes of a stream; `undefined` as soon as they exceed the limit. */
async function readLimited(stream: Readable): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of stream) {
    const bytes = Buffer.from(chunk as Uint8Array)
    size += bytes.length
    if (size > FILE_LIMIT_BYTES) return undefined
    chunks.push(bytes)
  }
  return Buffer.concat(chunks)
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or folder: check the path',
  EACCES: 'permission denied: make it readable for this user',
  EPERM: 'permission denied: make it readable for this user',
  EISDIR: 'this is a folder',
  ELOOP: 'its links form a loop',
}

function unreadable(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return REASONS[code ?? ''] ?? `cannot be read: ${message}`
}
