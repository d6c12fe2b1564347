import { existsSync, statSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { CliError } from './cli-error.ts'
import { callerPath } from './caller-path.ts'
import type { Config } from './config.ts'
import { didYouMean } from './did-you-mean.ts'
import { errorReport } from './error-report.ts'

/** What is looked for in the caller's folder when no config file is named. */
const fileNames = ['ts', 'mts', 'js', 'mjs'].map((extension) => `headwater.config.${extension}`)

/** No config that somebody wrote comes near: what is larger is another file, and loading it could take all memory. */
const bytesMax = 8 * 1_048_576

/** The config file of the caller's folder, where there is one. */
export function findConfig(): string | undefined {
  return fileNames.map((name) => callerPath(name)).find((path) => existsSync(path))
}

/** @throws CliError CONFIG_INVALID */
export async function loadConfig(path: string): Promise<Config> {
  const file = callerPath(path)
  checkFile(file)
  let module
  try {
    module = await importFile(file)
  } catch (error) {
    throw new CliError(
      'CONFIG_INVALID',
      `The config file ${file} cannot be loaded: ${errorReport(error).message}`,
      {
        cause: error,
      },
    )
  }
  return checkConfig(file, module.default)
}

function checkFile(file: string): void {
  if (!existsSync(file)) throw new CliError('CONFIG_INVALID', `There is no config file ${file}.`)
  const found = statSync(file)
  // What is read from a device or a pipe may never end.
  if (!found.isFile())
    throw new CliError('CONFIG_INVALID', `${file} is no file: name one that exports defineConfig({ … }).`)
  if (found.size > bytesMax) {
    throw new CliError(
      'CONFIG_INVALID',
      `The config file ${file} has ${found.size} bytes, and may have ${bytesMax}: is it the one that exports defineConfig({ … })?`,
    )
  }
}

async function importFile(file: string): Promise<{ readonly default?: unknown }> {
  const isTypeScript = /\.[cm]?ts$/.test(file)
  // Where this file itself is TypeScript, the process has a loader, with which the config gets the same core as we have.
  if (!isTypeScript || import.meta.url.endsWith('.ts'))
    return (await import(pathToFileURL(file).href)) as object
  const { createJiti } = await import('jiti')
  return await createJiti(import.meta.url, { interopDefault: false }).import(file)
}

/** Complete by its type: a setting that the table lacks does not compile. */
const settings: Record<keyof Config, true> = {
  redis: true,
  namespace: true,
  collections: true,
  partitions: true,
  durability: true,
  replicas: true,
  deadlineMs: true,
  attemptMs: true,
  idempotencyWindowMs: true,
  archive: true,
  groups: true,
  capture: true,
  upkeep: true,
  nodeSets: true,
  leaseMs: true,
  drainMs: true,
  prefetch: true,
  retry: true,
  stalledAfterMs: true,
  markEveryMs: true,
  scrubKeysPerSecond: true,
  name: true,
}

/** Names only: what the values may be is checked where they are used. */
function checkConfig(file: string, config: unknown): Config {
  if (typeof config !== 'object' || config === null) {
    throw new CliError(
      'CONFIG_INVALID',
      `The config file ${file} must export by default what defineConfig({ … }) gives.`,
    )
  }
  const unknown = Object.keys(config).find((name) => !Object.hasOwn(settings, name))
  if (unknown !== undefined) {
    throw new CliError(
      'CONFIG_INVALID',
      `The config file ${file} has a setting ${JSON.stringify(unknown)}; there are ${Object.keys(settings).join(', ')}.${didYouMean(unknown, Object.keys(settings))}`,
    )
  }
  if ('collections' in config && !Array.isArray(config.collections)) {
    throw new CliError('CONFIG_INVALID', `In the config file ${file}, collections must be a list.`)
  }
  return config
}
