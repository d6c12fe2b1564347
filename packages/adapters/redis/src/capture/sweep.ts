import type { Origin } from '@headwater/core'
import type { CaptureEvent } from './capture-event.ts'
import type { CapturedCollection } from './captured-collection.ts'
import { idText } from './dirty-keys.ts'
import type { SourceReader } from './source-reader.ts'
import type { SourceMoment, StateWriter } from './state-writer.ts'

const SCAN_COUNT = 2_000
const TELL_EVERY_MS = 500

/** What a sweep works with. */
export interface SweepOptions {
  readonly origin: Origin
  readonly reader: SourceReader
  readonly writer: StateWriter
  readonly moment: () => SourceMoment
  /** Called between steps: what changed meanwhile need not wait for the end. */
  readonly between?: () => Promise<void>
  readonly onEvent: (event: CaptureEvent) => void
}

/**
 * Compares all of a collection with the source: reads every key that is meant, and looks for those that the log has and
 * the source has not. Keys that change meanwhile are somebody else's to notice. Returns how many keys the source has.
 */
export async function sweep(captured: CapturedCollection, options: SweepOptions): Promise<number> {
  const keys = await bringKeys(captured, options)
  await options.writer.persist(() => removeGone(captured, options))
  return keys
}

async function bringKeys(captured: CapturedCollection, options: SweepOptions): Promise<number> {
  const { reader, writer, moment, between, onEvent } = options
  const { database, pattern, type, collection } = captured
  const startedAt = performance.now()
  const size = await reader.ask(database, async (client) => Number(await client.call('DBSIZE')))
  let [cursor, keys, looked, toldAt] = ['0', 0, 0, startedAt]
  do {
    const [next, found] = await reader.ask(
      database,
      async (client) =>
        (await client.callBuffer(
          'SCAN',
          cursor,
          'MATCH',
          pattern.glob,
          'COUNT',
          SCAN_COUNT,
          'TYPE',
          type,
        )) as [Buffer, Buffer[]],
    )
    cursor = next.toString()
    looked += SCAN_COUNT
    const ids = found.flatMap((key) => {
      const id = idText(captured, key)
      if (id === undefined) writer.rejectKey(collection.name, key)
      return id ?? []
    })
    keys += ids.length
    await writer.write(captured, ids, moment)
    await between?.()
    const now = performance.now()
    if (now - toldAt < TELL_EVERY_MS) continue
    toldAt = now
    const etaSeconds = (Math.max(0, size - looked) * (now - startedAt)) / looked / 1_000
    onEvent({ kind: 'sweeping', collection: collection.name, keys, keysOfSource: size, etaSeconds })
  } while (cursor !== '0')
  return keys
}

async function removeGone(captured: CapturedCollection, options: SweepOptions): Promise<void> {
  const { origin, reader, writer, moment, between } = options
  const { collection, database, pattern, type } = captured
  for await (const page of origin.keys(collection)) {
    const types = await reader.ask(database, async (client) => {
      const pipeline = client.pipeline()
      for (const id of page) pipeline.type(pattern.keyOf(id))
      const answers = (await pipeline.exec()) ?? []
      for (const [error] of answers) if (error) throw error
      return answers.map(([, answer]) => String(answer))
    })
    await writer.write(
      captured,
      page.filter((_, at) => types[at] !== type),
      moment,
    )
    await between?.()
  }
}
