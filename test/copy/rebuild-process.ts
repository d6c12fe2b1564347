// A rebuild in a process of its own, which kills itself at the point that its only argument names.
import { notes } from '@headwater/conformance'
import { connect, rebuild, type Sink, type SinkVersions } from '@headwater/core'
import { postgresSink } from '@headwater/postgres'
import { redisSink } from '@headwater/redis'
import { Redis, type Command, type RedisOptions } from 'ioredis'
import { Pool } from 'pg'
import { swappedDatabases, type CrashPoint, type RebuildProcessOptions } from './rebuild-process-options.ts'

const { log: at, namespace, target, crash } = JSON.parse(process.argv[2]!) as RebuildProcessOptions
const counts = new Map<CrashPoint['call'], number>()
let switching = false
const log = await connect(at, { namespace, collections: [notes] })
const report = await rebuild(log, watched(sinkOf()), { group: 'copy' })
process.stdout.write(`${JSON.stringify(report)}\n`)
process.exit(0)

function sinkOf(): Sink {
  if (target.kind === 'table') {
    const { postgres, schema, table } = target
    return postgresSink({ pool: new Pool(postgres), collection: notes, schema, table, layout: 'jsonb' })
  }
  if (target.kind === 'databases') {
    const [present, spare] = swappedDatabases.map((db) => watchedClient({ ...target.redis, db }))
    return redisSink({ client: present!, collection: notes, key: 'note:{key}', versions: { spare: spare! } })
  }
  const { redis, name } = target
  return redisSink({
    client: watchedClient(redis),
    collection: notes,
    key: `${name}:{version}:{key}`,
    prefix: `sink:${name}`,
    versions: { pointer: `${name}:version` },
  })
}

/** Each script in the switch of the versions is a point of its own. */
function watchedClient(options: RedisOptions): Redis {
  const client = new Redis(options)
  const send = client.sendCommand.bind(client) as (command: Command) => Promise<unknown>
  client.sendCommand = (command: Command) =>
    switching && command.name === 'evalsha' ? point('switch-script', () => send(command)) : send(command)
  return client
}

/** Runs a call, and ends the process before or after it where that is the point: as `kill -9` would, nothing is tidied up. */
async function point<T>(call: CrashPoint['call'], run: () => Promise<T>): Promise<T> {
  const nth = (counts.get(call) ?? 0) + 1
  counts.set(call, nth)
  const isHere = call === crash.call && nth === crash.nth
  if (isHere && crash.when === 'before') process.kill(process.pid, 'SIGKILL')
  const result = await run()
  if (isHere) process.kill(process.pid, 'SIGKILL')
  return result
}

function watched(sink: Sink): Sink {
  const versions = sink.versions!
  const watchedVersions: SinkVersions = {
    list: () => versions.list(),
    open(version) {
      const next = versions.open(version)
      return {
        ...next,
        prepare: () => point('prepare', () => next.prepare!()),
        async open(options) {
          const opened = await next.open(options)
          const builds = options.group !== 'copy'
          return {
            position: opened.position,
            apply: (changes, position, given) => point('copy', () => opened.apply(changes, position, given)),
            advance: (position) => point(builds ? 'advance' : 'stand', () => opened.advance(position)),
            snapshot: () => opened.snapshot!(),
            close: () => opened.close(),
          }
        },
      }
    },
    switchTo: (version, right) =>
      point('switch', async () => {
        switching = true
        await versions.switchTo(version, right)
        switching = false
      }),
    drop: (version) => versions.drop(version),
  }
  return { ...sink, versions: watchedVersions }
}
