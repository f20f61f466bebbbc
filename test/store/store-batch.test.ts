/** A batch whose commit got no answer. */
import { expect, test } from '@jest/globals'
import { createIngester } from '../../src/pipeline/ingest.ts'
import { openDatabase } from '../../src/store/db/database.ts'
import { createTestDatabase } from '../support/database.ts'
import { START_US } from '../support/flow-records.ts'
import { hubbleLines } from '../support/hubble-lines.ts'
import { createRandom } from '../support/random.ts'

test('a commit that goes on after its connection broke is recognised as the own one when it refuses the next try', async () => {
  const { database, connectionString } = await createTestDatabase()
  // The commit takes a while, and the server does not notice that nobody waits for it.
  await database.query(`create function slowly() returns trigger language plpgsql as $$ begin perform pg_sleep(4); return null; end $$`)
  await database.query('create constraint trigger slowly after insert on ingest_batches deferrable initially deferred for each row execute function slowly()')
  const breaking = openDatabase({ connectionString })
  const ingester = await createIngester(breaking, { cluster: 'test', nowUs: () => START_US + 7_200_000_000 })
  const values = hubbleLines(createRandom(1), 20).map((line, offset) => ({ bytes: Buffer.from(line), offset }))
  const step = { source: 'topic/0', from: undefined, next: 20, fingerprint: '', records: 20 }
  const storing = ingester.ingestValues({ source: 'topic', values, positions: [step] })
  const committing = `select 1 from pg_stat_activity where datname = current_database() and query = 'commit' and state = 'active'`
  while ((await database.query(committing)).rowCount === 0) await new Promise((resolve) => setTimeout(resolve, 20))
  const [client] = (breaking.pool as unknown as { _clients: { activeQuery?: { text?: string }; _activeQuery?: { text?: string }; connection: { stream: { destroy(): void } } }[] })._clients
    .filter((one) => (one._activeQuery ?? one.activeQuery)?.text === 'commit')
  client?.connection.stream.destroy()
  expect((await storing).stored).toBe(20)
  const { rows } = await database.query<{ n: string }>('select sum(records) as n from ingest_received')
  expect(rows).toEqual([{ n: '20' }])
  await breaking.close()
}, 60_000)
