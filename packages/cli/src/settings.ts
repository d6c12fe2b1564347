import type { ArchiveStore, RedisTarget } from '@headwater/core'
import { CliError } from './cli-error.ts'
import type { Config } from './config.ts'
import { environment } from './environment.ts'
import type { GlobalOptions } from './invocation.ts'
import { findConfig, loadConfig } from './load-config.ts'

/** Which log a command is about. */
export interface Settings {
  readonly redis: RedisTarget
  readonly namespace: string
  /** Where what was trimmed is read; only a config file says. */
  readonly archive: ArchiveStore | undefined
}

/** The config file that was named, or the one in the caller's folder; undefined without one, or with `--no-config`. */
export async function configOf({ config }: GlobalOptions): Promise<Config | undefined> {
  if (config === false) return undefined
  const path = typeof config === 'string' ? config : findConfig()
  return path === undefined ? undefined : await loadConfig(path)
}

/**
 * Flag, then environment, then config file. The namespace is never guessed: to look for one would scan a server that may
 * be shared, and a command should not act on what nobody named.
 *
 * @param config the config where the command has loaded it; else it is loaded only when something is missing
 * @throws CliError USAGE, CONFIG_INVALID
 */
export async function settingsOf(options: GlobalOptions, config?: Config): Promise<Settings> {
  const url = options.redis ?? (environment('REDIS_URL') || undefined)
  const name = options.namespace ?? (environment('HEADWATER_NAMESPACE') || undefined)
  if (url !== undefined) checkUrl(url)
  const file =
    config ??
    (url !== undefined && name !== undefined && !options.config ? undefined : await configOf(options))
  const redis = url ?? file?.redis
  const namespace = name ?? file?.namespace
  if (redis === undefined) {
    throw new CliError('USAGE', 'Which Redis? Give --redis <url>, REDIS_URL, or `redis` in the config file.')
  }
  if (namespace === undefined) {
    throw new CliError(
      'USAGE',
      'Which namespace? Give --namespace <name>, HEADWATER_NAMESPACE, or `namespace` in the config file.',
    )
  }
  return { redis, namespace, archive: file?.archive }
}

/** The URL is not repeated: it may hold a password. */
function checkUrl(url: string): void {
  if (!/^(rediss?|unix):\/\//i.test(url)) {
    throw new CliError('USAGE', 'A Redis URL begins with redis://, rediss:// or unix://.')
  }
  // Read as it stands, a part of such a password would count as host or database, and turn up in messages.
  const [, userInfo = ''] = /^[a-z]+:\/\/([^/].*)@/i.exec(url) ?? []
  if (/[/?#@"\s]/.test(userInfo)) {
    throw new CliError(
      'USAGE',
      'User and password in a Redis URL must be percent-encoded: / as %2F, @ as %40, # as %23, ? as %3F, " as %22.',
    )
  }
}
