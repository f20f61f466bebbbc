/**
 * The TLS listener's certificate, key and client authorities, from files that may be replaced at any time (cert-manager, a mounted Secret). New
 * connections use the new ones; connections that are open go on. Files that do not fit together (a key of another certificate, half of a renewal) are
 * not taken: the last good ones stay in use and the log says why.
 */
import { createHash, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import { AppError } from '../../core/base/app-error.ts'

export interface TlsFiles {
  readonly certFile: string
  readonly keyFile: string
  /** Authorities of client certificates; without, none are asked for. */
  readonly clientCaFile: string | undefined
}

export interface TlsMaterial {
  readonly cert: Buffer
  readonly key: Buffer
  readonly ca?: Buffer
  /** When the certificate ends, milliseconds. */
  readonly notAfterMs: number
  /** Equal for equal files. */
  readonly digest: string
}

export interface TlsSettings {
  readonly certFile: string | undefined
  readonly keyFile: string | undefined
  readonly clientCaFile: string | undefined
  /** There are certificates mapped to clusters. */
  readonly hasClients: boolean
}

/** The files to use; `undefined` when TLS is not configured. AppError `usage` for half of a configuration. */
export function tlsFilesOf({ certFile, keyFile, clientCaFile, hasClients }: TlsSettings, tlsPort: number | undefined): TlsFiles | undefined {
  if ((certFile === undefined) !== (keyFile === undefined)) throw new AppError('usage', 'TLS needs both FLOWFENCE_TLS_CERT_FILE and FLOWFENCE_TLS_KEY_FILE; only one of them is set.')
  if (hasClients && clientCaFile === undefined) {
    throw new AppError('usage', 'FLOWFENCE_INGEST_CLIENTS maps client certificates, so FLOWFENCE_TLS_CLIENT_CA_FILE must name the authorities that issue them.')
  }
  if (!hasClients && clientCaFile !== undefined) {
    throw new AppError('usage', 'FLOWFENCE_TLS_CLIENT_CA_FILE has no effect without FLOWFENCE_INGEST_CLIENTS, which says what cluster a client certificate belongs to.')
  }
  if (certFile !== undefined && keyFile !== undefined) return { certFile, keyFile, clientCaFile }
  if (tlsPort !== undefined) throw new AppError('usage', 'FLOWFENCE_TLS_PORT has no effect without TLS: set FLOWFENCE_TLS_CERT_FILE and FLOWFENCE_TLS_KEY_FILE too.')
  if (clientCaFile !== undefined) throw new AppError('usage', 'FLOWFENCE_TLS_CLIENT_CA_FILE has no effect without TLS: set FLOWFENCE_TLS_CERT_FILE and FLOWFENCE_TLS_KEY_FILE too.')
  return undefined
}

/** AppError `usage` that names the file, or says what does not fit. */
export async function readTlsFiles(files: TlsFiles): Promise<TlsMaterial> {
  const cert = await readPem('FLOWFENCE_TLS_CERT_FILE', files.certFile)
  const key = await readPem('FLOWFENCE_TLS_KEY_FILE', files.keyFile)
  const ca = files.clientCaFile === undefined ? undefined : await readPem('FLOWFENCE_TLS_CLIENT_CA_FILE', files.clientCaFile)
  try {
    createSecureContext({ cert, key, ...(ca !== undefined && { ca }) })
    const hash = createHash('sha256')
    for (const each of [cert, key, ca ?? Buffer.alloc(0)]) hash.update(`${each.length}:`).update(each)
    return { cert, key, ...(ca !== undefined && { ca }), notAfterMs: Date.parse(new X509Certificate(cert).validTo), digest: hash.digest('hex') }
  } catch (error) {
    throw new AppError('usage', `The TLS files cannot be used together (${files.certFile}, ${files.keyFile}${ca === undefined ? '' : `, ${String(files.clientCaFile)}`}): ${(error as Error).message}.`, { cause: error })
  }
}

async function readPem(setting: string, path: string): Promise<Buffer> {
  let bytes: Buffer
  try {
    bytes = await readFile(path)
  } catch (error) {
    throw new AppError('usage', `${setting} names ${path}, which cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)}).`, { cause: error, at: path })
  }
  if (!bytes.includes('-----BEGIN ')) throw new AppError('usage', `${setting} names ${path}, which is no PEM file (-----BEGIN …).`, { at: path })
  return bytes
}

export interface Watch {
  readonly onMaterial: (material: TlsMaterial) => void
  /** Once per problem, not once per look. */
  readonly onProblem: (message: string) => void
}

/** How often the files are read again. Shorter: a renewal takes effect sooner; longer: fewer reads. Renewals leave days. */
const LOOK_MS = 2_000

/** Reads the files again and again until stopped: their names may be links that are switched, which no file watch sees everywhere. */
export function watchTlsFiles(files: TlsFiles, first: TlsMaterial, { onMaterial, onProblem }: Watch): { stop(): void } {
  let used = first.digest
  let told = ''
  const look = async (): Promise<void> => {
    try {
      const material = await readTlsFiles(files)
      told = ''
      if (material.digest === used) return
      used = material.digest
      onMaterial(material)
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      if (message !== told) onProblem(message)
      told = message
    }
  }
  let isLooking = false
  const timer = setInterval(() => {
    if (isLooking) return
    isLooking = true
    void look().finally(() => { isLooking = false })
  }, LOOK_MS)
  timer.unref()
  return { stop: () => clearInterval(timer) }
}
