import { describe, expect, test } from '@jest/globals'
import { existsSync, statSync } from 'node:fs'
import { readText, root } from './repository-files.ts'

interface Manifest {
  readonly name: string
  readonly type: string
  readonly license: string
  readonly engines: Readonly<Record<string, string>>
  readonly bin: Readonly<Record<string, string>>
  readonly files: readonly string[]
  readonly scripts: Readonly<Record<string, string>>
  readonly allowScripts: Readonly<Record<string, boolean>>
  readonly dependencies: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
}

interface LockEntry {
  readonly version?: string
  readonly hasInstallScript?: boolean
  readonly resolved?: string
  readonly dev?: boolean
}

const manifest = JSON.parse(readText('package.json')) as Manifest
const lock = JSON.parse(readText('package-lock.json')) as { readonly packages: Readonly<Record<string, LockEntry>> }
const installed = Object.entries(lock.packages).filter(([path]) => path !== '')

describe('package.json', () => {
  test('is the ES module package and command "flowfence" under Apache-2.0', () => {
    expect(manifest).toMatchObject({ name: 'flowfence', type: 'module', license: 'Apache-2.0', bin: { flowfence: 'bin/flowfence.mjs' } })
    expect(existsSync(`${root}/${manifest.bin.flowfence ?? ''}`)).toBe(true)
    expect(readText('LICENSE')).toContain('Apache License')
  })

  test('names the supported Node versions and pins Node 24 exactly for development', () => {
    expect(manifest.engines.node).toBe('^22.22.0 || >=24.6.0')
    expect(manifest.devDependencies.node).toMatch(/^24\.\d+\.\d+$/)
    expect(lock.packages['node_modules/node']?.version).toBe(manifest.devDependencies.node)
  })

  test('pins every direct dependency to one version', () => {
    const versions = Object.values({ ...manifest.dependencies, ...manifest.devDependencies })
    expect(versions.filter((v) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(v))).toEqual([])
  })

  test('decides for every package with an install script whether it may run, and lets Node install itself', () => {
    const withScripts = installed.filter(([, entry]) => entry.hasInstallScript === true).map(([path]) => path.replace(/^.*node_modules\//, ''))
    expect(withScripts).toContain('node')
    expect(withScripts.filter((name) => !Object.hasOwn(manifest.allowScripts, name))).toEqual([])
    expect(manifest.allowScripts.node).toBe(true)
  })

  test('allows no install script of a package that is not in the lock file', () => {
    expect(Object.keys(manifest.allowScripts).filter((name) => !installed.some(([path]) => path.endsWith(`node_modules/${name}`)))).toEqual([])
  })

  test('has the commands that the documents name', () => {
    expect(Object.keys(manifest.scripts)).toEqual(expect.arrayContaining(['demo', 'test', 'lint', 'types', 'arch', 'bench', 'build']))
  })

  test('publishes what the program needs at run time', () => {
    expect(manifest.files).toEqual(expect.arrayContaining(['bin', 'dist', 'migrations', 'examples']))
  })
})

describe('the lock file', () => {
  test('names no download host, also after the next "npm install"', () => {
    expect(readText('.npmrc').split('\n')).toContain('omit-lockfile-registry-resolved=true')
    expect(installed.filter(([, entry]) => entry.resolved !== undefined).map(([path]) => path)).toEqual([])
  })
})

describe('.ci/run', () => {
  test('is an executable bash script that runs every check and the README\'s test command', () => {
    const script = readText('.ci/run')
    expect(statSync(`${root}/.ci/run`).mode & 0o111).toBe(0o111)
    expect(script.split('\n')[0]).toBe('#!/usr/bin/env bash')
    for (const command of ['npm ci', 'npm run lint', 'npm run types', 'npm run arch', 'npm test']) expect(script).toContain(command)
  })
})
