import type { ServeRequest } from '../context.ts'
import { parseNumberFlag } from '../flags.ts'
import type { AddCommand } from '../command.ts'

/** `serve`: the HTTP service until Ctrl-C. */
export const serveCommand: AddCommand = (program, context) => {
  program.command('serve')
    .summary('run the HTTP service')
    .description('Runs the service: flows are pushed to POST /api/v1/ingest/flows; namespaces, workloads, edges, recommendations and checks are read over '
      + 'REST. Listens on 127.0.0.1 unless FLOWFENCE_API_KEY is set, which every client must then present.')
    .option('--host <address>', 'address to listen on (default: FLOWFENCE_HOST, else 127.0.0.1)')
    .option('--port <number>', 'port to listen on, 0 for a free one (default: FLOWFENCE_PORT, else 8080)', parseNumberFlag(0, 65_535, { isWhole: true }))
    .addHelpText('after', `
Examples:
  flowfence serve
  curl --data-binary @flows.ndjson -H 'content-type: application/x-ndjson' http://127.0.0.1:8080/api/v1/ingest/flows
  FLOWFENCE_API_KEY=$(openssl rand -hex 16) flowfence serve --host 0.0.0.0`)
    .action((options: ServeRequest) => context.serve(options))
}
