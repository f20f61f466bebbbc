/** Free ports of this machine for brokers. */
import { createServer } from 'node:net'

/** Below the range from which systems give ports to outgoing connections: one of those must not sit on a broker's port while it is down. */
const PORT_RANGE = { from: 20_000, count: 12_000 }

/** A port that nobody listens on and that is not in `taken`, to which it is added. */
export async function freePort(taken = new Set<number>()): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = PORT_RANGE.from + Math.floor(Math.random() * PORT_RANGE.count)
    if (!taken.has(port) && (await isFree(port))) {
      taken.add(port)
      return port
    }
  }
  throw new Error(`No free port between ${PORT_RANGE.from} and ${PORT_RANGE.from + PORT_RANGE.count}.`)
}

/** On all addresses of this machine. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => { resolve(false) })
    server.listen(port, () => { server.close(() => { resolve(true) }) })
  })
}
