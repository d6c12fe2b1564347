import { HeadwaterError } from '../errors/headwater-error.ts'
import { logParts, type Log } from '../namespace/log.ts'
import { metadataKey } from '../namespace/keys.ts'
import { persist } from '../redis/persist.ts'

/** How long changes stay in a log, and how much memory they may take. Kept with the log, so the same for every program. */
export interface RetentionSettings {
  /** No change is trimmed sooner than this after it was appended, in ms. 7 days unless set. */
  readonly retentionMs: number
}

const dayMs = 86_400_000
const retentionMsDefault = 7 * dayMs
const retentionMsMax = 100 * 365 * dayMs
const retentionField = 'retention-ms'

/** What is set, or the defaults. */
export async function retentionSettings(log: Log): Promise<RetentionSettings> {
  const { connection, namespace, deadlineMs } = logParts(log)
  const options = { doing: 'reading the retention time', deadlineMs }
  const text = await persist(connection, options, (client) =>
    client.hget(metadataKey(namespace), retentionField),
  )
  if (text === null) return { retentionMs: retentionMsDefault }
  const retentionMs = Number(text)
  if (isRetention(retentionMs)) return { retentionMs }
  throw new HeadwaterError(
    'LOG_DAMAGED',
    `The metadata of namespace ${JSON.stringify(namespace)} has ${retentionField} ${JSON.stringify(text)}, which cannot be.`,
  )
}

/**
 * Changes what is given, from the next trimming on. Trimming is never undone: a longer time keeps what is still there.
 *
 * @throws HeadwaterError OPTION_INVALID
 */
export async function setRetention(log: Log, settings: Partial<RetentionSettings>): Promise<void> {
  const { retentionMs } = settings
  if (retentionMs === undefined) return
  if (!isRetention(retentionMs)) {
    throw new HeadwaterError(
      'OPTION_INVALID',
      `retentionMs ${String(retentionMs)} must be an integer from 0 to ${retentionMsMax}.`,
    )
  }
  const { connection, namespace, deadlineMs } = logParts(log)
  const options = { doing: 'setting the retention time', deadlineMs }
  await persist(connection, options, (client) =>
    client.hset(metadataKey(namespace), retentionField, retentionMs),
  )
}

function isRetention(ms: number): boolean {
  return Number.isSafeInteger(ms) && ms >= 0 && ms <= retentionMsMax
}
