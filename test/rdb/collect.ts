import { type RdbEntry, type RdbItem, type ReadRdbOptions, RdbError, readRdb } from '@headwater/rdb'

/** All items of a dump. */
export async function collect(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options?: ReadRdbOptions,
): Promise<RdbItem[]> {
  const items: RdbItem[] = []
  for await (const item of readRdb(chunks, options)) items.push(item)
  return items
}

/** The only entry of a dump. */
export async function onlyEntry(dump: Uint8Array): Promise<RdbEntry> {
  const [entry, ...others] = (await collect([dump])).filter((item) => item.kind === 'entry')
  if (entry === undefined || others.length > 0)
    throw new Error(`The dump has ${others.length + 1} entries, not one.`)
  return entry
}

/** The error that reading ends with; anything but an `RdbError` is thrown on. */
export async function damageOf(dump: Uint8Array, options?: ReadRdbOptions): Promise<RdbError | undefined> {
  try {
    await collect([dump], options)
    return undefined
  } catch (error) {
    if (!(error instanceof RdbError)) throw error
    return error
  }
}
