import type { DataKeys } from './data-keys.ts'
import type { RedisClient } from './redis-client.ts'
import { redisFailure } from './redis-failure.ts'
import type { RedisKeys } from './redis-keys.ts'
import type { Script, ScriptInput } from './script.ts'

/** How a value stands in its data key: as a string of canonical JSON, or as a hash of its properties. */
export type ValueLayout = 'json' | 'hash'

/** What a sink writes to, for the parts of the sink. */
export interface RedisTarget {
  /** The sink's name. */
  readonly name: string
  readonly client: RedisClient
  readonly keys: RedisKeys
  readonly dataKeys: DataKeys
  readonly layout: ValueLayout
}

/** The Redis type of data keys. */
export function dataType(layout: ValueLayout): 'string' | 'hash' {
  return layout === 'json' ? 'string' : 'hash'
}

/** @throws HeadwaterError SINK_UNAVAILABLE or SINK_MISCONFIGURED */
export async function runScript(
  { client, name }: RedisTarget,
  script: Script,
  input: ScriptInput,
): Promise<unknown> {
  try {
    return await script.run(client, input)
  } catch (error) {
    throw redisFailure(name, error)
  }
}
