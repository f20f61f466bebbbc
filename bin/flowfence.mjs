#!/usr/bin/env node
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { checkNodeVersion } from './check-node.mjs'

checkNodeVersion()
// Imported only now: the versions refused above may lack it. Stripping types and compiling is done once: half the start-up time (1.05 s -> 0.55 s). Where the folder cannot be written, nothing is cached.
const { enableCompileCache } = await import('node:module')
enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/compiled', import.meta.url)))
// A checkout runs its TypeScript as it is; the published package holds only dist.
const source = new URL('../src/start/cli.ts', import.meta.url)
const { main } = await import(existsSync(source) ? source.href : new URL('../dist/start/cli.js', import.meta.url).href)
await main(process.argv.slice(2))
