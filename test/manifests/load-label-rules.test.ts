import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from '@jest/globals'
import { DEFAULT_LABEL_RULES } from '../../src/core/flow/label-rules.ts'
import { loadLabelRules, parseLabelRules } from '../../src/manifests/load-label-rules.ts'
import { readText } from '../repository/repository-files.ts'

const folder = mkdtempSync(join(tmpdir(), 'flowfence-label-rules-'))
afterAll(() => { rmSync(folder, { recursive: true, force: true }) })

describe('label rules', () => {
  test('the file of the documentation is read', () => {
    const [, example = ''] = /```yaml\n# label-rules\.yaml\n([^]*?)```/.exec(readText('docs/label-rules.md')) ?? []
    expect(parseLabelRules(example, 'label-rules.yaml')).toEqual({
      ignore: ['example.com/build-*', 'deployed-by'], keep: ['example.com/tenant'], detect: true,
      namespaces: { shop: { ignore: ['shard'], keep: ['track'] }, 'preview-*': { ignore: ['branch'], keep: [] } },
    })
  })

  test('an empty file means the default rules, a missing list an empty one', () => {
    expect(parseLabelRules('# nothing yet\n', 'x.yaml')).toEqual(DEFAULT_LABEL_RULES)
    expect(parseLabelRules('detect: false', 'x.yaml')).toEqual({ ...DEFAULT_LABEL_RULES, detect: false })
  })

  test('every wrong field is named, with the file', () => {
    const text = ['ignore: [ok, 7, "a b"]', 'keep: [ok]', 'detect: sometimes', 'naming: [x]', 'namespaces:', '  shop: {ignore: track}', '  "a b": {}'].join('\n')
    expect(() => parseLabelRules(text, 'rules.yaml')).toThrow([
      'rules.yaml holds no usable label rules:',
      '  naming: unknown field; known here: ignore, keep, detect, namespaces',
      '  detect: Invalid value: "sometimes": must be true or false',
      '  namespaces.shop.ignore: Invalid value: "track": must be a list',
      '  namespaces: Invalid value: "a b": must be a namespace, in which * may stand for any text',
      '  ignore[1]: Invalid value: 7: must be a label key, in which * may stand for any text',
      '  ignore[2]: Invalid value: "a b": must be a label key, in which * may stand for any text',
      '  keep: "ok" is in ignore as well',
    ].join('\n'))
  })

  test.each([['[a]', /the document: Invalid value/], ['a: [', /x\.yaml is not valid YAML/], ['"\\0"', /the document/], [`ignore: [${'a,'.repeat(1001)}]`, /at most 1000/]])('%s is refused', (text, message) => {
    expect(() => parseLabelRules(text, 'x.yaml')).toThrow(message)
  })

  test('a file that cannot be read is named', async () => {
    await expect(loadLabelRules(join(folder, 'none.yaml'))).rejects.toMatchObject({ code: 'input-unreadable', message: expect.stringContaining('none.yaml') as unknown })
    writeFileSync(join(folder, 'rules.json'), '{"ignore": ["team"]}')
    expect(await loadLabelRules(join(folder, 'rules.json'))).toEqual({ ...DEFAULT_LABEL_RULES, ignore: ['team'] })
  })
})
