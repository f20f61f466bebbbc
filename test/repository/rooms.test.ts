import { describe, expect, test } from '@jest/globals'
import { pathToFileURL } from 'node:url'
import { listFiles, readText, root } from './repository-files.ts'

interface Rule {
  readonly name: string
  readonly comment: string
  readonly severity: string
  readonly from: { readonly path?: string }
  readonly to: { readonly path?: string }
}

const { default: config } = await import(pathToFileURL(`${root}/.dependency-cruiser.mjs`).href) as { default: { forbidden: readonly Rule[] } }
const roomRules = config.forbidden.filter((rule) => rule.name.startsWith('room-'))
const sources = listFiles('src').filter((path) => path.endsWith('.ts'))

describe('the rooms of src', () => {
  test('every source file lies in exactly one room, and every room has a rule', () => {
    const homeless = sources.filter((path) => roomRules.filter((rule) => new RegExp(rule.from.path ?? '^$').test(path)).length !== 1)
    expect(homeless).toEqual([])
  })

  test('every rule is an error and says why', () => {
    expect(config.forbidden.filter((rule) => rule.severity !== 'error' || rule.comment.length < 15).map((rule) => rule.name)).toEqual([])
  })

  test('every package that the program uses has one owning room, except type declarations', () => {
    const { dependencies } = JSON.parse(readText('package.json')) as { dependencies: Record<string, string> }
    const owned = config.forbidden.filter((rule) => rule.name.startsWith('owner-of-')).map((rule) => rule.name)
    expect(Object.keys(dependencies).filter((name) => !owned.includes(`owner-of-${name.replace('.', '-')}`))).toEqual([])
  })

  test('the files keep to named exports and to names that say what they hold', () => {
    expect(sources.filter((path) => /(^|\/)(index|utils?|helpers?|common)\.ts$/.test(path))).toEqual([])
  })
})
