import { CommanderError } from 'commander'
import { CliError } from './cli-error.ts'

/** An error as the user sees it: one line without secrets, and the code with which the process ends. */
export interface ErrorReport {
  readonly code: string
  readonly message: string
  /** 1 for what failed, 2 for arguments that cannot be understood, 0 where commander only showed its help. */
  readonly exitCode: 0 | 1 | 2
}

export function errorReport(error: unknown): ErrorReport {
  if (error instanceof CommanderError) {
    const message = oneLine(withoutSecrets(error.message.replace(/^error: /, '')))
    return { code: 'USAGE', message, exitCode: error.exitCode === 0 ? 0 : 2 }
  }
  const text = error instanceof Error ? error.message : String(error)
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'UNEXPECTED'
  return {
    code,
    // The messages of core end with their code, which has a place of its own here.
    message: oneLine(withoutSecrets(text)).replace(` [${code}]`, ''),
    exitCode: error instanceof CliError && error.code === 'USAGE' ? 2 : 1,
  }
}

/** Removes user and password from every URL in a text. */
export function withoutSecrets(text: string): string {
  return text.replaceAll(/\b([a-z][a-z0-9+.-]*:\/\/)[^\s"]*@/gi, '$1***@')
}

/** Names that cannot be one, such as a file's contents in the place of its path, are cut as core cuts them. */
function oneLine(text: string): string {
  return text
    .trim()
    .replaceAll(/\s*\n\s*/g, ' ')
    .replaceAll(/\S{300,}/g, (word) => `${word.slice(0, 160)}…${word.slice(-40)}`.toWellFormed())
}
