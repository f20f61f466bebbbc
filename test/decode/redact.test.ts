import { describe, expect, test } from '@jest/globals'
import { createDecoder } from '../../src/decode/decode-chunk.ts'
import { redactText } from '../../src/decode/redact.ts'

const SECRET = 'hunter2'

describe('kept input', () => {
  test.each([
    ['a JSON value', `{"password":"${SECRET}","user":"bob"}`],
    ['a cut-off JSON value', `{"token": "${SECRET}`],
    ['an escaped JSON value', `{"api_key":"a\\"${SECRET}"}`],
    ['JSON inside a string', `{"log":"{\\"client_secret\\":\\"${SECRET}\\"}"}`],
    ['a header list', `{"headers":[{"key":"Authorization","value":"Bearer ${SECRET}"}]}`],
    ['an object value', `{"secret":{"a":"${SECRET}"}}`],
    ['a number value', `{"x-api-key": ${SECRET}}`],
    ['a logfmt value', `level=info auth_token=${SECRET} msg=x`],
    ['a header line', `Cookie: session=${SECRET}`],
    ['a bearer header', `authorization: Bearer ${SECRET}`],
    ['a bearer token that stands by itself', `called with Bearer ${SECRET}.${SECRET} at noon`],
    ['a private key', `{"private_key":"${SECRET}"}`],
    ['a user in a URL', `{"url":"https://bob:${SECRET}@example.org/x"}`],
    ['a query string', `{"url":"https://example.org/x?session=${SECRET}"}`],
    ['a query string of a path', `GET /login?u=bob&p=${SECRET} HTTP/1.1`],
  ])('hides %s', (_, text) => {
    expect(redactText(text)).not.toContain(SECRET)
    expect(redactText(text)).toContain('[redacted]')
  })

  test('leaves the rest readable', () => {
    expect(redactText('{"password":"x","verdict":"FORWARDED","IP":{"source":"10.0.0.1"}')).toBe('{"password":"[redacted]","verdict":"FORWARDED","IP":{"source":"10.0.0.1"}')
  })

  test('has no control characters and no halves of surrogate pairs', () => {
    expect(redactText('a\0b\x1b[31mc\ud800d😀')).toBe('a\\u0000b\\u001b[31mc\\ud800d😀')
  })

  test('of a rejected line is at most 4 KiB, redacted', () => {
    const decoder = createDecoder()
    const [item] = decoder.push(Buffer.from(`{"password":"${SECRET}", ${'x'.repeat(9000)}\n`))
    expect(item?.raw.startsWith('{"password":"[redacted]", xxx')).toBe(true)
    expect(item?.raw.length).toBeLessThanOrEqual(4110)
  })

  test.each([
    '"', '\\"', '\\', '"a', 'token', 'token-', '-token', '"token', '"token ', '\\"token', '"token\\":"\\', '/', '?', '/?', '"key":"', '"key":"token', 'a://', 'a.', '":', 'token=', 'token= ', ' ',
  ])('is found in time linear in the text, whatever it repeats: %j', (piece) => {
    redactText(piece.repeat(100))
    const before = process.cpuUsage()
    redactText(piece.repeat(65_536 / piece.length))
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(1000)
  })

  test('is found in time linear in the blanks after a word', () => {
    const before = process.cpuUsage()
    redactText(`token=${' '.repeat(65_536)}"`)
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(1000)
  })
})
