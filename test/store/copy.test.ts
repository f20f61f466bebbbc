import { expect, test } from '@jest/globals'
import { CopyBuffer, copyInto } from '../../src/store/db/copy.ts'
import { withTransaction } from '../../src/store/db/database.ts'
import { createEmptyDatabase } from '../support/database.ts'
import { createRandom } from '../support/random.ts'

test('every type comes back as it was written, and buffers grow and are reused', async () => {
  const { database } = await createEmptyDatabase()
  await database.query('create table rows (i integer, s smallint, b boolean, n bigint, t timestamptz, x text)')
  const random = createRandom(1)
  const pieces = ['a', '\\', '\t', '\n', '"', '\\N', '\\.', 'ü', '🦊', '\0', '\ud800', ' ', 'long'.repeat(200)]
  const buffer = new CopyBuffer(16)
  for (let round = 0; round < 3; round++) {
    buffer.reset()
    const expected: unknown[] = []
    for (let r = 0; r < 300; r++) {
      const text = Array.from({ length: random.int(6) }, () => random.pick(pieces)).join('')
      const i = random.int(2 ** 32) - 2 ** 31
      const n = random.pick([0, -1, 1, 2 ** 53 - 1, -(2 ** 53 - 1), 2 ** 32, -(2 ** 32), random.int(2 ** 40) - 2 ** 39])
      const timeUs = random.pick([0, 1, -1, 946_684_800_000_000, 946_684_799_999_999, 1_767_225_600_000_125])
      const s = random.int(65_536) - 32_768
      buffer.row(6)
      buffer.int32(i)
      buffer.smallint(s)
      buffer.boolean(r % 2 === 0)
      buffer.bigint(n)
      buffer.time(timeUs)
      buffer.text(text)
      expected.push({ i, s, b: r % 2 === 0, n: String(n), us: String(timeUs), x: text.replaceAll('\0', '\ufffd').replaceAll('\ud800', '\ufffd') })
    }
    await database.query('truncate rows')
    await withTransaction(database, (tx) => copyInto(tx, 'rows (i, s, b, n, t, x)', buffer))
    expect(buffer.rows).toBe(300)
    expect((await database.query('select i, s, b, n, (extract(epoch from t) * 1000000)::bigint as us, x from rows order by ctid')).rows).toEqual(expected)
  }
})

test('a COPY that the server refuses fails the transaction and leaves the connection usable', async () => {
  const { database } = await createEmptyDatabase()
  await database.query('create table rows (i integer not null check (i > 0))')
  const buffer = new CopyBuffer()
  buffer.row(1)
  buffer.int32(-1)
  await expect(withTransaction(database, (tx) => copyInto(tx, 'rows (i)', buffer))).rejects.toMatchObject({ code: '23514' })
  expect((await database.query('select count(*)::integer as n from rows')).rows).toEqual([{ n: 0 }])
})
