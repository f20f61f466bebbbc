/**
 * The command line: flags in, exit code out. Each command is one file under commands/; it reads its input, calls pipeline functions and renders.
 *
 * Invariant: nothing here ends the process; `runCli` returns what it should return. Errors are caught and shown here, once.
 */
import { Command, CommanderError } from 'commander'
import { AppError } from '../../core/base/app-error.ts'
import { escapeLines } from '../render/escape-text.ts'
import type { AddCommand } from './command.ts'
import { checkCommand } from './commands/check.ts'
import { demoCommand } from './commands/demo.ts'
import { evalCommand } from './commands/eval.ts'
import { ingestCommand } from './commands/ingest.ts'
import { migrateCommand } from './commands/migrate.ts'
import { reaggregateCommand } from './commands/reaggregate.ts'
import { recommendCommand } from './commands/recommend.ts'
import { serveCommand } from './commands/serve.ts'
import { simulateCommand } from './commands/simulate.ts'
import { syncCommand } from './commands/sync.ts'
import type { CliContext } from './context.ts'
import type { ExitCode } from './exit-codes.ts'
import { EXIT, EXIT_CODES_HELP, exitCodeOf } from './exit-codes.ts'
import { ReaderGone } from './output.ts'

const COMMANDS: readonly AddCommand[] = [
  demoCommand, serveCommand, ingestCommand, recommendCommand, checkCommand, evalCommand, syncCommand, reaggregateCommand, simulateCommand, migrateCommand,
]

/** Runs one command line (without node and script) and returns the exit code. */
export async function runCli(argv: readonly string[], context: CliContext): Promise<ExitCode> {
  let code: ExitCode = EXIT.done
  const program = createProgram(context, (finished) => { code = finished })
  try {
    await program.parseAsync([...argv], { from: 'user' })
    return code
  } catch (error) {
    return showError(error, context)
  }
}

function createProgram(context: CliContext, finish: (code: ExitCode) => void): Command {
  const program = new Command('flowfence')
  program
    .description('Reads CNI flow logs (Cilium, Calico, NetObserv, Antrea, GKE, AWS), writes the NetworkPolicies that allow exactly the observed '
      + 'traffic, proves it, and tells beforehand what any set of policies would deny.')
    .version(context.version, '-V, --version', 'print the version')
    .addHelpText('after', `${EXIT_CODES_HELP}\n\nStart here: flowfence demo`)
    .configureHelp({ helpWidth: 100 })
    .showHelpAfterError('(--help shows what is possible)')
    .exitOverride()
    .configureOutput({ writeErr: (text) => context.output.note(escapeLines(text)), writeOut: (text) => void context.output.result(text).catch(() => undefined) })
  for (const add of COMMANDS) add(program, context, finish)
  for (const command of program.commands) command.configureHelp({ helpWidth: 100 }).addHelpText('after', EXIT_CODES_HELP)
  return program
}

function showError(error: unknown, { output, signal }: CliContext): ExitCode {
  // commander has printed its own message already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.unusable
  if (error instanceof ReaderGone) return EXIT.done
  if (signal.aborted) {
    output.note('Stopped before it was done. What was stored, if anything, is complete and stays; run the same command again to go on.')
    return EXIT.interrupted
  }
  output.note(`flowfence: ${escapeLines(messageOf(error))}`)
  return exitCodeOf(error)
}

/** Places that cannot be written are the caller's to change, not defects to report. */
const FILE_PROBLEMS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied', EPERM: 'not permitted', EROFS: 'the file system is read-only', ENOSPC: 'no space is left on the device',
  ENOTDIR: 'a part of the path is not a folder', EEXIST: 'a file of that name is in the way', EISDIR: 'a folder of that name is in the way',
}

function isFileError(error: unknown): error is Error & { readonly code: string; readonly path: string } {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code in FILE_PROBLEMS
    && 'path' in error && typeof error.path === 'string'
}

function messageOf(error: unknown): string {
  if (error instanceof AppError) return error.message
  if (isFileError(error)) return `${FILE_PROBLEMS[error.code] ?? error.code}: ${error.path}. Choose another place, or change its permissions.`
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return `internal error, please report it with this text:\n${text}`
}
