/** `npm run bench [name…]`: ratios against references timed in the same run; fails past a limit. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { checkNodeVersion } from '../bin/check-node.mjs'

checkNodeVersion()
const entry = fileURLToPath(new URL('../test/bench/bench.ts', import.meta.url))
const child = spawn(process.execPath, ['--expose-gc', entry, ...process.argv.slice(2)], { stdio: 'inherit' })
child.on('exit', (code, signal) => process.exit(signal === null ? (code ?? 1) : 1))
