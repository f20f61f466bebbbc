import { countText } from '../../render/edge-text.ts'
import type { AddCommand } from '../command.ts'

/** `migrate`: brings the database's schema up to date and nothing else. */
export const migrateCommand: AddCommand = (program, context) => {
  program.command('migrate')
    .summary('bring the database schema up to date')
    .description('Brings the database (DATABASE_URL, or the embedded one) up to date. Safe to run at any time and by several processes at once; '
      + 'serve and ingest do it by themselves when they start.')
    .addHelpText('after', '\nExample:\n  DATABASE_URL=postgres://user:password@host:5432/flowfence flowfence migrate')
    .action(async () => {
      const store = await context.openStore()
      try {
        const done = store.migrations
        await context.output.result(done.length === 0 ? 'The database is up to date.\n' : `${countText(done.length, 'migration')} ran:\n${done.map((name) => `  ${name}\n`).join('')}`)
      } finally {
        await store.close()
      }
    })
}
