import { describe, expect, test } from '@jest/globals'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { SETTINGS } from '../../src/config/settings.ts'
import { listFiles, readIfText, readText, root } from './repository-files.ts'

const files = listFiles()
const documents = files.filter((path) => path.endsWith('.md'))

/** Headings as GitHub names them: lower case, punctuation dropped, spaces as hyphens. */
function anchorsOf(markdown: string): string[] {
  const text = markdown.replace(/^```[\s\S]*?^```/gm, '')
  return [...text.matchAll(/^#+ +(.+)$/gm)].map(([, title = '']) => title.toLowerCase().replace(/[^\w\- ]/g, '').replaceAll(' ', '-'))
}

/** Targets of links in a document, without those in code. */
function linksOf(markdown: string): string[] {
  const text = markdown.replace(/^```[\s\S]*?^```/gm, '').replace(/`[^`\n]*`/g, '')
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target)
}

describe('the documents', () => {
  test('are all there', () => {
    for (const path of ['README.md', 'DESIGN.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'LICENSE', 'docs/glossary.md']) expect(files).toContain(path)
  })

  test('every relative link leads to a file, and to a heading where it names one', () => {
    const broken = documents.flatMap((document) => linksOf(readText(document))
      .filter((target) => !/^[a-z]+:/.test(target))
      .filter((target) => {
        const [path = '', anchor] = target.split('#')
        const file = path === '' ? document : join(dirname(document), path)
        if (!existsSync(`${root}/${file}`)) return true
        return anchor !== undefined && !anchorsOf(readText(file)).includes(anchor)
      })
      .map((target) => `${document}: ${target}`))
    expect(broken).toEqual([])
  })

  test('the README names the two commands that a stranger starts with', () => {
    expect(readText('README.md')).toContain('npm ci && npm run demo')
    expect(readText('README.md')).toContain('npm ci && npm test')
  })

  test('the README\'s configuration table has every setting with its default and effect, and no other', () => {
    const rows = readText('README.md').split('\n').filter((line) => /^\| `(DATABASE_URL|FLOWFENCE_)/.test(line))
    expect(rows).toEqual(Object.values(SETTINGS).map((s) => `| \`${s.name}\` | ${s.defaultText} | ${s.effect} |`))
  })

  test('the README holds no place that waits for sample output', () => {
    expect([...readText('README.md').matchAll(/<!-- sample:[\w-]+ -->\n```\w*\n```/g)].map(([text]) => text)).toEqual([])
  })

  test('the changelog opens with what is not released yet, in whole sentences', () => {
    const [heading, ...lines] = readText('CHANGELOG.md').split('\n').filter((line) => line.startsWith('## ') || line.startsWith('- '))
    expect(heading).toBe('## Unreleased')
    expect(lines.filter((line) => line.startsWith('- ') && !/^- [A-Z`].*\.$/.test(line))).toEqual([])
  })

  test('every decision has a number of its own, the context, the decision and what lost', () => {
    const decisions = files.filter((path) => path.startsWith('docs/decisions/'))
    expect(new Set(decisions.map((path) => /(\d{4})-[a-z0-9-]+\.md$/.exec(path)?.[1])).size).toBe(decisions.length)
    for (const path of decisions) expect(anchorsOf(readText(path))).toEqual(expect.arrayContaining(['context', 'decision', 'what-lost']))
  })
})

describe('no file of the repository', () => {
  /** Put together from parts, so that this file does not find itself. */
  const forbidden: readonly (readonly [string, RegExp])[] = [
    ['a package registry', new RegExp(`${['registry', '(npmjs|yarnpkg|npmmirror)'].join('\\.')}|${['npm', 'pkg', 'github'].join('\\.')}|://[\\w.-]*(${['artifactory', 'verdaccio', 'nexus', 'jfrog'].join('|')})`, 'i')],
    ['a folder of one machine', new RegExp(`(^|[\\s"'\`(=:])/(${['work', 'root', 'Users'].join('|')})/`, 'm')],
  ]

  test.each(forbidden)('names %s', (_, pattern) => {
    const found = files.filter((path) => pattern.test(readIfText(path) ?? ''))
    expect(found).toEqual([])
  })
})
