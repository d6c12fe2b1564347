import { connect } from '@headwater/core'
import { Redis } from 'ioredis'
import { logParts } from '../../packages/core/src/namespace/log-parts.ts'
import { makeProduct, products } from './product.ts'
import { encodeCommand, joinCommands, RawClient, type RedisAddress } from './raw-client.ts'
import { namespace } from './worker-consumer.ts'

/**
 * Fills the one partition of a new log with entries of one change each, behind the back of the append script, which would
 * take many times as long. They are copies of a real entry, so whoever reads them finds nothing wrong.
 */
export async function fillLongLog(redis: RedisAddress, entries: number): Promise<void> {
  const log = await connect({ ...redis }, { namespace, collections: [products], partitions: 1 })
  await log.append(products.put(makeProduct(0, 100)))
  const client = new Redis({ ...redis })
  const [keys] = logParts(log).keys.partitions
  const [[id, fields]] = (await client.xrange(keys!.log, '-', '+')) as [[string, string[]]]
  const epoch = id.split('-')[0]!
  const firstAt = fields.indexOf('first') + 1

  function* copies(): Generator<string> {
    for (let sequence = 2; sequence <= entries; sequence++) {
      fields[firstAt] = String(sequence)
      yield encodeCommand(['XADD', keys!.log, `${epoch}-${sequence}`, ...fields])
    }
  }
  const writer = await RawClient.connect(redis)
  await writer.sendAll(joinCommands(copies(), 500))
  writer.close()
  await client.hset(keys!.header, 'sequence', entries)
  client.disconnect()
  await log.close()
}
