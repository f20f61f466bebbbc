import { describe, expect, test } from '@jest/globals'
import { pathToFileURL } from 'node:url'
import { listFiles, readText, root } from './repository-files.ts'

interface Rule {
  readonly name: string
  readonly comment: string
  readonly severity: string
  readonly from: { readonly path?: string }
  readonly to: { readonly path?: string; readonly pathNot?: readonly string[] }
}

const { default: config } = await import(pathToFileURL(`${root}/.dependency-cruiser.mjs`).href) as { default: { forbidden: readonly Rule[] } }
const roomRules = config.forbidden.filter((rule) => rule.name.startsWith('room-'))
const sources = listFiles('src').filter((path) => path.endsWith('.ts'))

describe('the rooms of src', () => {
  test('every source file lies in exactly one room, and every room has a rule', () => {
    const homeless = sources.filter((path) => roomRules.filter((rule) => new RegExp(rule.from.path ?? '^$').test(path)).length !== 1)
    expect(homeless).toEqual([])
  })

  test('the table of DESIGN.md says the same as the rules', () => {
    const rows = readText('DESIGN.md').split('\n').flatMap((line) => {
      const [, room, allowed] = /^\| `([a-z/]+)` \| .* \| (nothing|`[a-z/]+`(?:, `[a-z/]+`)*) \|$/.exec(line) ?? []
      return room === undefined || allowed === undefined ? [] : [`${room}: ${allowed.replaceAll('`', '')}`]
    })
    const rules = roomRules.map((rule) => {
      const rooms = [rule.from.path ?? '', ...rule.to.pathNot ?? []].map((pattern) => pattern.replace(/^\^src\/|\/$/g, ''))
      const allowed = rooms.slice(1).filter((room) => room !== rooms[0] && room !== 'core/base')
      return `${rooms[0] ?? ''}: ${allowed.length === 0 ? 'nothing' : allowed.join(', ')}`
    })
    expect(rows).toEqual(rules)
  })

  test('every rule is an error and says why', () => {
    expect(config.forbidden.filter((rule) => rule.severity !== 'error' || rule.comment.length < 15).map((rule) => rule.name)).toEqual([])
  })

  test('every package that the program uses has one owning room, except type declarations', () => {
    const { dependencies } = JSON.parse(readText('package.json')) as { dependencies: Record<string, string> }
    const owned = config.forbidden.filter((rule) => rule.name.startsWith('owner-of-')).map((rule) => rule.name)
    expect(Object.keys(dependencies).filter((name) => !owned.includes(`owner-of-${name.replace(/[@./]+/g, '-')}`))).toEqual([])
  })

  test('the files keep to named exports and to names that say what they hold', () => {
    expect(sources.filter((path) => /(^|\/)(index|utils?|helpers?|common)\.ts$/.test(path))).toEqual([])
  })
})
