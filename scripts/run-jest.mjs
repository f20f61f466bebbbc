/**
 * The three tiers: `npm test` (small doses), `--full` (the numbers of the promises), `--fuzz` (open end).
 * The tier reaches the tests as FLOWFENCE_TIER; further arguments go to jest.
 */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { checkNodeVersion } from '../bin/check-node.mjs'

checkNodeVersion()
const args = process.argv.slice(2)
const tier = args.includes('--fuzz') ? 'fuzz' : args.includes('--full') ? 'full' : 'small'
const jestArgs = args.filter((a) => a !== '--full' && a !== '--fuzz')
const jest = fileURLToPath(new URL('../node_modules/jest/bin/jest.js', import.meta.url))
if (tier === 'fuzz' && jestArgs.length === 0) jestArgs.push('test/laws', 'test/fuzz')
const child = spawn(process.execPath, ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning', jest, ...jestArgs], {
  stdio: 'inherit',
  env: { ...process.env, FLOWFENCE_TIER: tier },
})
child.on('exit', (code, signal) => process.exit(signal === null ? (code ?? 1) : 1))
