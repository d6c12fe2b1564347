import { HeadwaterError } from '../errors/headwater-error.ts'
import { logParts } from '../namespace/log-parts.ts'
import type { Log } from '../namespace/log.ts'
import { metadataKey } from '../namespace/keys.ts'
import { persist } from '../redis/persist.ts'

/** How long changes stay in a log, and how much memory they may take. Kept with the log, so the same for every program. */
export interface RetentionSettings {
  /** No change is trimmed sooner than this after it was appended, in ms. 7 days unless set. */
  readonly retentionMs: number
  /**
   * At how many bytes of memory the stream of a partition takes no more appends: they wait, and are rejected with LOG_FULL at
   * their deadlines. Undefined for no limit but that of the server. Redis estimates what a stream takes.
   */
  readonly partitionBytesMax: number | undefined
}

const dayMs = 86_400_000
const retentionMsDefault = 7 * dayMs
const retentionMsMax = 100 * 365 * dayMs
const partitionBytesMin = 65_536
const fields = { retentionMs: 'retention-ms', partitionBytesMax: 'partition-bytes-max' } as const

/** What is set, or the defaults. */
export async function retentionSettings(log: Log): Promise<RetentionSettings> {
  const { connection, namespace, deadlineMs } = logParts(log)
  const options = { doing: 'reading the retention settings', deadlineMs }
  const [time, bytes] = await persist(connection, options, (client) =>
    client.hmget(metadataKey(namespace), fields.retentionMs, fields.partitionBytesMax),
  )
  const retentionMs = time ? Number(time) : retentionMsDefault
  const partitionBytesMax = bytes ? Number(bytes) : undefined
  if (!isRetentionTime(retentionMs)) throw broken(namespace, fields.retentionMs, time)
  if (!isByteLimit(partitionBytesMax)) throw broken(namespace, fields.partitionBytesMax, bytes)
  return { retentionMs, partitionBytesMax }
}

/**
 * Changes what is given, for every program and from now on; a limit that is given as undefined is taken away. Trimming is
 * never undone: a longer time keeps what is still there. Safe to repeat where it was cut short.
 *
 * @throws HeadwaterError OPTION_INVALID
 */
export async function setRetention(log: Log, settings: Partial<RetentionSettings>): Promise<void> {
  const { retentionMs, partitionBytesMax } = settings
  if (retentionMs !== undefined && !isRetentionTime(retentionMs)) {
    throw invalid(`retentionMs ${retentionMs} must be an integer from 0 to ${retentionMsMax}.`)
  }
  if (!isByteLimit(partitionBytesMax)) {
    throw invalid(`partitionBytesMax ${partitionBytesMax} must be an integer from ${partitionBytesMin}.`)
  }
  const { connection, namespace, keys, deadlineMs } = logParts(log)
  const options = { doing: 'changing the retention settings', deadlineMs }
  const metadata = metadataKey(namespace)
  if (retentionMs !== undefined) {
    await persist(connection, options, (client) => client.hset(metadata, fields.retentionMs, retentionMs))
  }
  if (!('partitionBytesMax' in settings)) return
  await persist(connection, options, (client) =>
    partitionBytesMax === undefined
      ? client.hdel(metadata, fields.partitionBytesMax)
      : client.hset(metadata, fields.partitionBytesMax, partitionBytesMax),
  )
  // Where the append script finds it: it has the keys of its partition only.
  for (const { header } of keys.partitions) {
    await persist(connection, options, (client) =>
      partitionBytesMax === undefined
        ? client.hdel(header, 'bytes-max')
        : client.hset(header, 'bytes-max', partitionBytesMax),
    )
  }
}

function isRetentionTime(ms: number): boolean {
  return Number.isSafeInteger(ms) && ms >= 0 && ms <= retentionMsMax
}

function isByteLimit(bytes: number | undefined): boolean {
  return bytes === undefined || (Number.isSafeInteger(bytes) && bytes >= partitionBytesMin)
}

function invalid(what: string): HeadwaterError {
  return new HeadwaterError('OPTION_INVALID', what)
}

function broken(namespace: string, field: string, text: string | null | undefined): HeadwaterError {
  return new HeadwaterError(
    'LOG_DAMAGED',
    `The metadata of namespace ${JSON.stringify(namespace)} has ${field} ${JSON.stringify(text)}, which cannot be.`,
  )
}
