import { HeadwaterError } from '@headwater/core'
import { crc64, RdbError, readRdb, type RdbEntry } from '@headwater/rdb'
import { restoreTime } from './held-expiry.ts'
import { rebuild } from './rebuild.ts'

const KEY = 'k'
const END = 0xff
/** Behind the value: the version of the format (2 bytes), a checksum (8 bytes). */
const FOOTER_BYTES = 10

/**
 * The commands that do what a `RESTORE` did. Its payload is read and checked as a dump is: bytes that only one server has
 * looked at can crash another one. `nowMs` stands for relative times (before Redis 7.0).
 *
 * @throws HeadwaterError SOURCE_REFUSED
 */
export async function rebuildRestored(
  args: readonly Buffer[],
  nowMs: number,
): Promise<readonly (readonly (string | Buffer)[])[]> {
  const [, key, , payload] = args
  if (!key || !payload)
    throw new HeadwaterError('SOURCE_REFUSED', 'The replication stream has a RESTORE of nothing.')
  const expiresAtMs = restoreTime(args, nowMs)
  const entry = await restoredValue(key, payload)
  return [['DEL', key], ...rebuild({ ...entry, ...(expiresAtMs !== undefined && { expiresAtMs }) })]
}

async function restoredValue(key: Buffer, payload: Buffer): Promise<RdbEntry> {
  const footer = payload.length - FOOTER_BYTES
  if (footer < 1) refuse(key, 'it is too short')
  if (BigInt.asUintN(64, payload.readBigInt64LE(footer + 2)) !== crc64(payload.subarray(0, -8)))
    refuse(key, 'its checksum is wrong')
  const version = String(payload.readUInt16LE(footer)).padStart(4, '0')
  const dump = Buffer.concat([
    Buffer.from(`REDIS${version}`),
    payload.subarray(0, 1),
    Buffer.from([KEY.length]),
    Buffer.from(KEY),
    payload.subarray(1, footer),
    Buffer.from([END]),
    // None: it was compared above.
    Buffer.alloc(8),
  ])
  let entry: RdbEntry | undefined
  try {
    let items = 0
    for await (const item of readRdb([dump])) {
      items++
      if (item.kind === 'entry') entry = { ...item, key }
    }
    // The header, the value, the end.
    if (entry && items === 3) return entry
  } catch (error) {
    if (!(error instanceof RdbError)) throw error
    return refuse(key, error.message, error)
  }
  return refuse(key, 'it holds something else than one value')
}

function refuse(key: Buffer, why: string, cause?: RdbError): never {
  throw new HeadwaterError(
    'SOURCE_REFUSED',
    `What the source ran RESTORE with for ${JSON.stringify(key.toString())} cannot be replayed: ${why}.`,
    { cause },
  )
}
