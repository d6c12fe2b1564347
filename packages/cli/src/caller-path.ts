import { resolve } from 'node:path'

/**
 * A path as the caller means it. `pnpm headwater …` runs the script of that name in the workspace's root, and leaves in
 * INIT_CWD where the caller stands. In every other script the folder of the script is what its author means.
 */
export function callerPath(...path: string[]): string {
  const { INIT_CWD: folder, npm_lifecycle_event: script } = process.env
  return resolve(script === 'headwater' && folder ? folder : process.cwd(), ...path)
}
