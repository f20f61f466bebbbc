import type { Command } from 'commander'
import type { CliContext } from './context.ts'
import type { ExitCode } from './exit-codes.ts'

/** Adds one command to the program; `finish` says the exit code when it is not 0. */
export type AddCommand = (program: Command, context: CliContext, finish: (code: ExitCode) => void) => void
