import { CommanderError } from 'commander'
import { errorReport } from './error-report.ts'
import type { Output } from './output.ts'

/** Tells what went wrong, and sets the exit code. */
export function reportFailure(output: Output, error: unknown): void {
  const report = errorReport(error)
  process.exitCode = report.exitCode
  // Commander has shown its help already.
  const shown = error instanceof CommanderError && (report.exitCode === 0 || error.code === 'commander.help')
  if (!shown) output.error(report)
}
