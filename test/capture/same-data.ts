import { bookkeepingPrefix, expiryHoldMs } from '@headwater/redis'
import type { Redis } from 'ioredis'

/** What differs between a source and its replica, in words; none when they hold the same, or what the source has of these types. */
export async function differences(
  source: Redis,
  replica: Redis,
  expiry: 'held' | 'released',
  types?: readonly string[],
): Promise<string[]> {
  const [here, there] = [await contents(source), await contents(replica)]
  for (const [name, { type }] of here) if (types && !types.includes(type)) here.delete(name)
  const hold = expiry === 'held' ? expiryHoldMs : 0
  const found: string[] = []
  for (const [name, { digest, expiresAt }] of here) {
    const copy = there.get(name)
    if (copy === undefined) found.push(`${name} is missing`)
    else if (copy.digest !== digest) found.push(`${name} has another value`)
    else if (copy.expiresAt !== (expiresAt < 0 ? expiresAt : expiresAt + hold))
      found.push(`${name} expires at ${copy.expiresAt}, not ${expiresAt}`)
  }
  for (const name of there.keys()) if (!here.has(name)) found.push(`${name} is too many`)
  return found
}

interface Content {
  readonly type: string
  readonly digest: string
  /** As `PEXPIRETIME` answers. */
  readonly expiresAt: number
}

async function contents(client: Redis): Promise<Map<string, Content>> {
  const all = new Map<string, Content>()
  for (const [, database] of (await client.info('keyspace')).matchAll(/^db(\d+):/gm)) {
    await client.select(Number(database))
    const keys = ((await client.callBuffer('KEYS', '*')) as Buffer[]).filter(
      (key) => !key.toString('latin1').startsWith(bookkeepingPrefix),
    )
    if (keys.length === 0) continue
    const digests = (await client.call('DEBUG', 'DIGEST-VALUE', ...keys)) as string[]
    const pipeline = client.pipeline()
    for (const key of keys) pipeline.call('PEXPIRETIME', key).type(key)
    const replies = (await pipeline.exec()) ?? []
    keys.forEach((key, index) => {
      const expiresAt = Number(replies[2 * index]![1])
      const type = String(replies[2 * index + 1]![1])
      // It expired while we looked.
      if (expiresAt === -2) return
      const name = `${database} ${JSON.stringify(key.toString('latin1'))}`
      all.set(name, { type, digest: digests[index]!, expiresAt })
    })
  }
  await client.select(0)
  return all
}
