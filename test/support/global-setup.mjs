/** Names the folder in which test files that need PostgreSQL start or join one server; tests that do not need it pay nothing. */
import { chmodSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export default function prepare() {
  process.env.FLOWFENCE_TEST_FOLDER ??= mkdtempSync(join(tmpdir(), 'flowfence-test-'))
  // The database server may run as another user, who must be able to walk through.
  chmodSync(process.env.FLOWFENCE_TEST_FOLDER, 0o711)
  // The Kafka broker of the run must not outlive it.
  process.env.FLOWFENCE_TEST_PID = String(process.pid)
}
