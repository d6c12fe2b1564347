import { isAbsolute, resolve } from 'node:path'
import { CliError } from './cli-error.ts'

/**
 * A path as the caller means it. `pnpm headwater …` runs the script of that name in the workspace's root, and leaves in
 * INIT_CWD where the caller stands. In every other script the folder of the script is what its author means.
 *
 * @throws CliError FILE_UNREADABLE where there is no such folder any more
 */
export function callerPath(...path: string[]): string {
  const { INIT_CWD: folder, npm_lifecycle_event: script } = process.env
  return resolve(script === 'headwater' && folder && isAbsolute(folder) ? folder : currentFolder(), ...path)
}

function currentFolder(): string {
  try {
    return process.cwd()
  } catch (cause) {
    throw new CliError(
      'FILE_UNREADABLE',
      'The folder in which this was called is gone: change to one that exists.',
      { cause },
    )
  }
}
