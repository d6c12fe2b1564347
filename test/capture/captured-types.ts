import { defineCollection } from '@headwater/core'
import { captured } from '@headwater/redis'
import { z } from 'zod'

const textual = z.object({ id: z.string(), value: z.unknown() })
const key = ({ id }: { id: string }): string => id
const define = (name: string) => defineCollection(name, { schema: textual, key })

/** A collection for each type of Redis, of the keys that `storm` writes. */
export const collections = {
  hashes: define('hashes'),
  strings: define('strings'),
  lists: define('lists'),
  sets: define('sets'),
  sorted: define('sorted'),
  elsewhere: define('elsewhere'),
}

export const wrap = (value: unknown, id: string): { id: string; value: unknown } => ({ id, value })

/** What is captured of a source that `storm` writes to. */
export const mappings = [
  captured(collections.hashes, { keys: 'hash:*', value: wrap }),
  captured(collections.strings, { keys: 'string:*', type: 'string', value: wrap }),
  captured(collections.lists, { keys: 'list:*', type: 'list', value: wrap }),
  captured(collections.sets, { keys: 'set:*', type: 'set', value: wrap }),
  captured(collections.sorted, {
    keys: 'zset:*',
    type: 'zset',
    value: (members, id) =>
      wrap(
        members.map(({ member, score }) => [member, String(score)]),
        id,
      ),
  }),
  captured(collections.elsewhere, { keys: 'hash:*', database: 1, value: wrap }),
]
