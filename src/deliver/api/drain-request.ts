import type { Request } from 'express'

/** Bytes and milliseconds for which the rest of a refused body is read. More: more clients hear the reason; fewer: less is read in vain. */
const MAX_BYTES = 8 << 20
const MAX_MS = 2_000
/** A client that sends nothing for so long waits for the answer. */
const IDLE_MS = 200

/**
 * Reads and forgets the rest of a body before an early answer. A connection that is closed on a client which still sends loses the answer on its way:
 * the client would see a broken connection instead of the reason, and try again for ever.
 */
export function drainRequest(req: Request): Promise<void> {
  if (req.complete || req.destroyed || req.method === 'GET' || req.method === 'HEAD') return Promise.resolve()
  return new Promise((done) => {
    let bytes = 0
    let idle = setTimeout(finish, IDLE_MS)
    const total = setTimeout(finish, MAX_MS)
    function onData(chunk: Buffer): void {
      bytes += chunk.length
      clearTimeout(idle)
      idle = setTimeout(finish, IDLE_MS)
      if (bytes > MAX_BYTES) finish()
    }
    function finish(): void {
      clearTimeout(idle)
      clearTimeout(total)
      req.off('data', onData).off('end', finish).off('close', finish)
      req.pause()
      done()
    }
    req.on('data', onData).once('end', finish).once('close', finish)
    req.resume()
  })
}
