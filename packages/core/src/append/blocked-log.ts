import { HeadwaterError } from '../errors/headwater-error.ts'
import { parseHeader } from '../log/header.ts'
import type { PartitionKeys } from '../namespace/keys.ts'
import type { Connection } from '../redis/connection.ts'

const namedMax = 5
const blocked = /equal or smaller than the target stream top item|exhausted the last possible ID/

/** Whether Redis refused a batch because something that is not ours stands where it would go, or above. */
export function isBlocked(error: unknown): boolean {
  return error instanceof Error && blocked.test(error.message)
}

/** What stands in the way, and how it is taken away: appends can do neither, for nobody knows what it is. */
export async function blockedLog(
  connection: Connection,
  keys: PartitionKeys,
  partition: number,
): Promise<HeadwaterError> {
  const [fields, last] = await connection.attempt(
    (client) => Promise.all([client.hgetall(keys.header), client.xrevrange(keys.log, '+', '-', 'COUNT', 1)]),
    1_000,
  )
  const { epoch = 0, sequence = 0 } = parseHeader(fields) ?? {}
  const end = `${epoch}-${sequence}`
  const strays = await connection.attempt(
    (client) => client.xrange(keys.log, `(${end}`, '+', 'COUNT', namedMax),
    1_000,
  )
  const ids = strays.map(([id]) => id).join(' ') || last[0]?.[0] || 'its last entry'
  return new HeadwaterError(
    'LOG_DAMAGED',
    `Nothing can be appended to partition ${partition}: somebody else has put ${ids} behind its last change (${end}). Save what it holds, then run XDEL ${keys.log} ${ids} and XSETID ${keys.log} ${end}.`,
  )
}
