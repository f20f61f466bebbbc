import { describe, expect, test } from '@jest/globals'
import { createLogger } from '../../src/observe/logger.ts'

function logged(write: (log: ReturnType<typeof createLogger>) => void, secrets: readonly string[] = []): string {
  let text = ''
  write(createLogger({ level: 'debug', secrets, destination: { write: (line) => { text += line } } }))
  return text
}

describe('log', () => {
  test('is one JSON object per line with level, time and message', () => {
    const lines = logged((log) => {
      log.info({ records: 3 }, 'stored')
      log.warn('slow')
    }).trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(lines).toMatchObject([{ level: 'info', records: 3, msg: 'stored' }, { level: 'warn', msg: 'slow' }])
    expect(lines[0]?.time).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/)
  })

  test('hides fields that hold secrets', () => {
    const text = logged((log) => log.info({ password: 'hunter2', headers: { authorization: 'hunter2', 'x-api-key': 'hunter2' }, config: { connectionString: 'hunter2' } }, 'x'))
    expect(text).not.toContain('hunter2')
    expect(text).toContain('[secret]')
  })

  test('hides passwords of URLs and keys inside messages and errors', () => {
    const text = logged((log) => {
      log.error({ err: new Error('cannot reach postgres://flow:hunter2@db:5432/x') }, 'failed')
      log.warn('sent Authorization: Bearer hunter2hunter2')
      log.info(`the key is ${'s3cret"key'}`)
    }, ['s3cret"key'])
    expect(text).not.toMatch(/hunter2|s3cret/)
    expect(text).toContain('postgres://flow:[secret]@db:5432/x')
  })

  test.each(['a', 'a.', 'a://b:', '://', 'bearer ', 'bearer', ' '])('is written in time linear in the text, whatever it repeats: %j', (piece) => {
    const before = process.cpuUsage()
    logged((log) => log.info(piece.repeat(300_000 / piece.length)))
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(3000)
  })

  test('control characters of foreign text never reach the terminal', () => {
    expect(logged((log) => log.warn({ pod: '\u001b[2Jevil' }, 'x'))).not.toContain('\u001b')
  })
})
