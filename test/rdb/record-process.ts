// Records a dump of the server that REDIS_SERVER_BIN names, and what that server says of its keys, in recorded/.
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startRedis } from '@headwater/local-servers'
import { keyspaceOf } from './keyspace.ts'
import { plainClient } from '../support/plain-client.ts'
import { fillRandomly } from './random-keyspace.ts'
import { Random } from '../support/random.ts'

const folder = join(import.meta.dirname, 'recorded')
mkdirSync(folder, { recursive: true })
await using server = await startRedis({ own: true })
await using client = plainClient(server.options)
await fillRandomly(client, new Random(1), 120, 'short')
await client.call('SAVE')
const info = await client.info('server')
const [, name] = /^server_name:(\w+)/m.exec(info) ?? [undefined, 'redis']
const [, version] = new RegExp(`^${name}_version:([\\d.]+)`, 'm').exec(info) ?? []
const file = join(folder, `${name}-${version}`)
copyFileSync(join(server.dir, 'dump.rdb'), `${file}.rdb`)
writeFileSync(`${file}.json`, `${JSON.stringify(await keyspaceOf(client))}\n`)
