/**
 * A process that writes a log as applications do, for tests of following: in pieces that end anywhere, with rotations at line ends.
 * `node log-writer.ts <lines file> <log> <seed> <lines between rotations>`. Rotates by rename or by
 * copy and truncate; rotated files are compressed from the third on.
 */
import { appendFileSync, copyFileSync, existsSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { createRandom } from './random.ts'

const [linesFile = '', log = '', seed = '', every = ''] = process.argv.slice(2)
const random = createRandom(Number(seed))
const lines = readFileSync(linesFile, 'latin1').split(/(?<=\n)/)

function rotate(): void {
  let last = 1
  while (existsSync(`${log}.${last}`) || existsSync(`${log}.${last}.gz`)) last++
  for (let n = last; n > 1; n--) {
    const suffix = existsSync(`${log}.${n - 1}.gz`) ? '.gz' : ''
    renameSync(`${log}.${n - 1}${suffix}`, `${log}.${n}${suffix}`)
    if (n === 3 && suffix === '') {
      // As gzip does it: the compressed file is complete before the plain one goes.
      writeFileSync(`${log}.3.gz`, gzipSync(readFileSync(`${log}.3`)))
      rmSync(`${log}.3`)
    }
  }
  if (random.chance(0.5)) {
    renameSync(log, `${log}.1`)
    writeFileSync(log, '')
  } else {
    copyFileSync(log, `${log}.1`)
    truncateSync(log)
  }
}

for (let at = 0; at < lines.length;) {
  const text = lines.slice(at, at + Number(every)).join('')
  at += Number(every)
  for (let i = 0; i < text.length;) {
    const piece = 1 + random.int(8_000)
    appendFileSync(log, text.slice(i, i + piece), 'latin1')
    i += piece
    if (random.chance(0.5)) await sleep(random.int(12))
  }
  if (at < lines.length) rotate()
}
