#!/usr/bin/env node
import { existsSync } from 'node:fs'
import { checkNodeVersion } from './check-node.mjs'

checkNodeVersion()
// A checkout runs its TypeScript as it is; the published package holds only dist.
const source = new URL('../src/start/cli.ts', import.meta.url)
const { main } = await import(existsSync(source) ? source.href : new URL('../dist/start/cli.js', import.meta.url).href)
await main(process.argv.slice(2))
