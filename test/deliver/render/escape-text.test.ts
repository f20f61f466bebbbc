import { describe, expect, test } from '@jest/globals'
import { escapeHtml, escapeLines, escapeText, renderJson } from '../../../src/deliver/render/escape-text.ts'

const HOSTILE = 'a\u001b[31mb\u0000c\u009bd\u202ee\u200bf\u2028g\ud800h\u{e0041}i\r\nj\u007f'

describe('escaping', () => {
  test('text: controls, bidirectional marks, invisible characters and lone surrogates become visible escapes', () => {
    expect(escapeText(HOSTILE)).toBe('a\\e[31mb\\u{0}c\\u{9b}d\\u{202e}e\\u{200b}f\\u{2028}g\\u{d800}h\\u{e0041}i\\r\\nj\\u{7f}')
  })

  test('text: letters of any script stay', () => {
    expect(escapeText('zażółć 東京 naïve 🚀')).toBe('zażółć 東京 naïve 🚀')
  })

  test('lines: line ends stay, the rest is escaped', () => {
    expect(escapeLines('a\u001b\nb\r')).toBe('a\\e\nb\\r')
  })

  test('JSON parses to the same document and holds nothing a terminal acts on', () => {
    const json = renderJson({ name: HOSTILE })
    expect(JSON.parse(json)).toEqual({ name: HOSTILE })
    // eslint-disable-next-line no-control-regex -- that is what is tested
    expect(json).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e\u200b\u2028]/)
  })

  test('HTML: markup and quotes are inert', () => {
    expect(escapeHtml('<script a="b">&\'')).toBe('&#60;script a=&#34;b&#34;&#62;&#38;&#39;')
  })
})
