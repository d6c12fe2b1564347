import { readFileSync } from 'node:fs'
import { aBook, books } from '@headwater/conformance'
import { startPostgres, type OwnPostgresServer, type ProxiedRequest } from '@headwater/local-servers'
import { Pool, type PoolConfig } from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { eventually } from '../../support/eventually.ts'
import { startPostgresLink, type PostgresLink } from '../../support/postgres-link.ts'
import { blockedBackends, whileHeld } from './blocked.ts'
import { apply, errorOf, openReplica, replica, words } from './replica.ts'

let server: OwnPostgresServer
/** Of the test itself. */
let observer: Pool
let pools: Pool[]

beforeAll(async () => {
  server = await startPostgres({ own: true })
})

afterAll(async () => {
  await server.stop()
})

beforeEach(() => {
  pools = []
  observer = connect()
  observer.on('error', () => {})
})

afterEach(async () => {
  await Promise.all(pools.map((pool) => pool.end()))
})

/** As a careless application makes it: one connection, and nobody listens to its errors. */
function connect(config: PoolConfig = {}): Pool {
  const pool = new Pool({ ...server.connection, max: 1, ...config })
  pools.push(pool)
  return pool
}

/** Not the BEGIN ISOLATION LEVEL READ COMMITTED. */
function isCommit({ args }: ProxiedRequest): boolean {
  return args[0]?.includes('COMMIT\0') ?? false
}

async function filled(pool: Pool) {
  const made = await openReplica(pool, books)
  const [atlas, novel] = [made.log.put(aBook('atlas')), made.log.put(aBook('novel'))]
  await apply(made.partition, [atlas, novel])
  const next = [
    made.log.put(aBook('atlas', { pages: 1 })),
    made.log.delete('novel'),
    made.log.put(aBook('poems')),
  ]
  const applied = next.map(() => 'applied')
  const unavailable = next.map(() => 'retry SINK_UNAVAILABLE')
  const lockRow = `SELECT FROM "${made.table}" WHERE key = 'atlas' FOR UPDATE`
  const lockTable = `LOCK TABLE "${made.table}" IN ACCESS EXCLUSIVE MODE`
  const hasty = () => made.open({ sink: made.another({ timeoutMs: 1_000 }) })
  const keys = async () =>
    (await observer.query<{ key: string }>(`SELECT key FROM "${made.table}" ORDER BY key`)).rows.map(
      ({ key }) => key,
    )
  return { ...made, hasty, next, applied, unavailable, lockRow, lockTable, keys }
}

/** A database of its own with a copy of an earlier state, which takes its place in `restore`. */
async function backedUp() {
  for (const name of ['shop', 'backup']) await observer.query(`DROP DATABASE IF EXISTS ${name}`)
  await observer.query('CREATE DATABASE shop')
  const made = await filled(connect({ database: 'shop' }))
  await made.partition.advance({ epoch: 1, sequence: 2, branch: 'a' })
  const everybodyOut = () =>
    observer.query(`SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'shop'`)
  await everybodyOut()
  await observer.query('CREATE DATABASE backup TEMPLATE shop')
  const restore = async () => {
    await everybodyOut()
    await observer.query('DROP DATABASE shop')
    await observer.query('ALTER DATABASE backup RENAME TO shop')
  }
  return { ...made, restore }
}

/** A process that has ended may stay a zombie, where nobody asks what became of it. */
function isRunning(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

describe('a server that fails', () => {
  it('leaves nothing of a batch whose backend was killed in the middle, and takes it afterwards', async () => {
    const { partition, next, lockRow, keys, applied, unavailable, open } = await filled(connect())
    await partition.advance({ epoch: 1, sequence: 2, branch: 'a' })
    const position = { epoch: 1, sequence: 3, branch: 'a' }
    await whileHeld(observer, lockRow, async (holder) => {
      const applying = apply(partition, next, { position })
      const [pid] = await blockedBackends(connect(), 1)
      await holder.query('SELECT pg_terminate_backend($1)', [pid])
      expect(words(await applying)).toEqual(unavailable)
    })
    expect(await keys()).toEqual(['atlas', 'novel'])
    expect(words(await apply(partition, next, { position }))).toEqual(applied)
    expect(await keys()).toEqual(['atlas', 'poems'])
    expect((await open()).position).toEqual(position)
  })

  it.each(['SIGQUIT', 'SIGKILL'] as const)('is used again when it is back: %s', async (signal) => {
    const { partition, next, applied, unavailable, keys } = await filled(connect())
    const { rows } = await observer.query<{ pid: number }>('SELECT pid FROM pg_stat_activity')
    await server.kill(signal)
    // Backends outlive their postmaster for a moment, and work on.
    await eventually(() => expect(rows.filter(({ pid }) => isRunning(pid))).toEqual([]))
    expect(words(await apply(partition, next))).toEqual(unavailable)
    expect(words(await apply(partition, next))).toEqual(unavailable)
    await server.restart()
    expect(words(await apply(partition, next))).toEqual(applied)
    expect(await keys()).toEqual(['atlas', 'poems'])
  })

  it('does not end the process when it ends connections that nobody uses', async () => {
    const pool = connect()
    const { partition, next, applied } = await filled(pool)
    await observer.query(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = $1',
      ['client backend'],
    )
    await eventually(() => expect(pool.totalCount).toBe(0))
    expect(words(await apply(partition, next))).toEqual(applied)
  })
})

describe('a server that has lost what it had confirmed', () => {
  const position = { epoch: 1, sequence: 5, branch: 'a' }

  it('refuses to go on, and is opened again at the position that survived', async () => {
    const { partition, next, applied, restore, open, log, look } = await backedUp()
    expect(words(await apply(partition, next, { position }))).toEqual(applied)
    await restore()
    const later = [log.put(aBook('essays'))]
    await expect(apply(partition, later)).rejects.toMatchObject({ code: 'SINK_FENCED' })
    await expect(partition.advance({ ...position, sequence: 6 })).rejects.toMatchObject({
      code: 'SINK_FENCED',
    })
    const again = await open()
    expect(again.position).toEqual({ epoch: 1, sequence: 2, branch: 'a' })
    expect(words(await apply(again, [...next, ...later]))).toEqual([...applied, 'applied'])
    expect((await look('atlas'))?.value).toEqual(next[0]?.value)
  })

  it('goes on where nothing was lost but a position, which only says less', async () => {
    const { partition, next, applied, restore, open } = await backedUp()
    await partition.advance(position)
    await restore()
    expect(words(await apply(partition, next, { position }))).toEqual(applied)
    expect((await open()).position).toEqual(position)
  })
})

describe('a reply that is lost', () => {
  let link: PostgresLink

  beforeEach(async () => {
    link = await startPostgresLink(server)
  })

  afterEach(async () => {
    await link.proxy.stop()
  })

  it('makes the same batch stale the next time, for it is there', async () => {
    const { partition, next, unavailable, keys } = await filled(connect(link.connection))
    const lost = link.proxy.loseReply(() => true)
    expect(words(await apply(partition, next))).toEqual(unavailable)
    await lost
    expect(words(await apply(partition, next))).toEqual(next.map(() => 'stale'))
    expect(await keys()).toEqual(['atlas', 'poems'])
  })

  it('leaves the fence written when it was that of a COMMIT, and the same owner opens again', async () => {
    const { sink, log } = await filled(connect(link.connection))
    const fence = { epoch: 1, token: 99, owner: 'unlucky' }
    const opening = { lineage: 'log-1', group: 'copy', partition: 0, fence }
    const lost = link.proxy.loseReply(isCommit)
    expect(await errorOf(sink.open(opening))).toMatchObject({ code: 'SINK_UNAVAILABLE' })
    await lost
    const rival = { ...fence, owner: 'lucky' }
    expect(await errorOf(sink.open({ ...opening, fence: rival }))).toMatchObject({ code: 'SINK_FENCED' })
    const partition = await sink.open(opening)
    expect(words(await apply(partition, [log.put(aBook('essays'))]))).toEqual(['applied'])
  })

  it('leaves the tables made when it was that of a COMMIT, and the next prepare finds them', async () => {
    const { sink, open, log } = replica(connect(link.connection), books, { schema: 'lost commit' })
    const lost = link.proxy.loseReply(isCommit)
    expect(await errorOf(sink.prepare?.())).toMatchObject({ code: 'SINK_UNAVAILABLE' })
    await lost
    await sink.prepare?.()
    expect(words(await apply(await open(), [log.put(aBook('atlas'))]))).toEqual(['applied'])
  })

  it('and does not come: the connection is given up in time, and another one used', async () => {
    const pool = connect(link.connection)
    const { hasty, open, next, unavailable } = await filled(pool)
    const partition = await hasty()
    const lost = link.proxy.fallSilentAfter(() => true)
    expect(words(await apply(partition, next))).toEqual(unavailable)
    await lost
    expect(words(await apply(await open(), next))).toEqual(next.map(() => 'stale'))
    expect(pool.totalCount).toBe(1)
  })
})

describe('a table that somebody else has locked', () => {
  it('makes a call fail in time, and leaves no backend behind that waits for it', async () => {
    const { hasty, open, next, lockTable, applied, unavailable } = await filled(connect())
    const partition = await hasty()
    await whileHeld(observer, lockTable, async () => {
      expect(words(await apply(partition, next))).toEqual(unavailable)
      expect(words(await apply(partition, next))).toEqual(unavailable)
      await blockedBackends(connect(), 0)
    })
    expect(words(await apply(await open(), next))).toEqual(applied)
  })

  it('is left at once when the call is aborted', async () => {
    const { partition, next, lockTable, applied, unavailable } = await filled(connect())
    await whileHeld(observer, lockTable, async () => {
      const controller = new AbortController()
      const applying = apply(partition, next, { signal: controller.signal })
      await blockedBackends(connect(), 1)
      controller.abort()
      expect(words(await applying)).toEqual(unavailable)
      await blockedBackends(connect(), 0)
    })
    expect(words(await apply(partition, next))).toEqual(applied)
  })
})

describe('a pool without a free connection', () => {
  it('makes a call fail in time, and gets back the connection that came too late', async () => {
    const pool = connect()
    const { hasty, open, next, applied, unavailable } = await filled(pool)
    const partition = await hasty()
    const taken = await pool.connect()
    expect(words(await apply(partition, next))).toEqual(unavailable)
    taken.release()
    expect(words(await apply(await open(), next))).toEqual(applied)
    expect(pool).toMatchObject({ totalCount: 1, idleCount: 1, waitingCount: 0 })
  })
})

describe('an error that is about the moment and not about the rows', () => {
  it.each([
    ['a lock takes too long', '55P03', '-c lock_timeout=50'],
    ['the statement takes too long', '57014', '-c statement_timeout=50'],
  ])('counts as not now: %s', async (_what, code, options) => {
    const { another, open, next, unavailable, applied, lockRow } = await filled(connect())
    const partition = await open({ sink: another({ pool: connect({ options }) }) })
    await whileHeld(observer, lockRow, async () => {
      const outcomes = await apply(partition, next)
      expect(words(outcomes)).toEqual(unavailable)
      expect(outcomes[0]).toMatchObject({ error: { cause: { code } } })
    })
    expect(words(await apply(partition, next))).toEqual(applied)
  })

  it('counts as not now: the server is read-only, as one that was just replaced', async () => {
    const { another, open } = await filled(connect())
    const sink = another({ pool: connect({ options: '-c default_transaction_read_only=on' }) })
    const error = await errorOf(open({ sink }))
    expect(error).toMatchObject({ code: 'SINK_UNAVAILABLE', cause: { code: '25006' } })
  })

  it('counts as not now: a deadlock, when we are the victim', async () => {
    const { another, open, next, unavailable, applied, lockRow, table } = await filled(connect())
    // Whoever has waited for so long looks whether there is a deadlock, and is the victim.
    const partition = await open({ sink: another({ pool: connect({ options: '-c deadlock_timeout=300' }) }) })
    await whileHeld(observer, lockRow, async (holder) => {
      const applying = apply(partition, next)
      await blockedBackends(connect(), 1)
      await holder.query('SELECT FROM hw_partitions WHERE target = $1 FOR UPDATE', [table])
      const outcomes = await applying
      expect(words(outcomes)).toEqual(unavailable)
      expect(outcomes[0]).toMatchObject({ error: { cause: { code: '40P01' } } })
    })
    expect(words(await apply(partition, next))).toEqual(applied)
  })

  it('counts as not now: a serialization failure, where that is the default isolation', async () => {
    const { another, open, next, unavailable, applied, table } = await filled(connect())
    const strict = connect({ options: '-c default_transaction_isolation=serializable' })
    const partition = await open({ sink: another({ pool: strict }) })
    const holder = await observer.connect()
    await holder.query(`BEGIN; UPDATE "${table}" SET pages = 7 WHERE key = 'atlas'`)
    const applying = apply(partition, next)
    await blockedBackends(connect(), 1)
    await holder.query('COMMIT')
    holder.release()
    const outcomes = await applying
    expect(words(outcomes)).toEqual(unavailable)
    expect(outcomes[0]).toMatchObject({ error: { cause: { code: '40001' } } })
    expect(words(await apply(partition, next))).toEqual(applied)
  })

  it('counts as not now: the server has no connection left', async () => {
    const { another } = await filled(connect())
    await observer.query('CREATE ROLE crowded LOGIN CONNECTION LIMIT 0')
    const error = await errorOf(another({ pool: connect({ user: 'crowded' }) }).prepare?.())
    expect(error).toMatchObject({ code: 'SINK_UNAVAILABLE', cause: { code: '53300' } })
  })
})

describe('an error that waiting does not mend', () => {
  it('says so, and parks nothing: a missing right', async () => {
    const { another, next, open, applied } = await filled(connect())
    await observer.query('CREATE ROLE reader LOGIN')
    await observer.query(
      `GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader; GRANT ALL ON hw_partitions TO reader`,
    )
    const sink = another({ pool: connect({ user: 'reader' }) })
    await sink.prepare?.()
    expect(words(await apply(await open({ sink }), next))).toEqual(next.map(() => 'retry SINK_MISCONFIGURED'))
    expect(words(await apply(await open(), next))).toEqual(applied)
  })

  it('says so: no such database', async () => {
    const { another } = await filled(connect())
    const error = await errorOf(another({ pool: connect({ database: 'nowhere' }) }).prepare?.())
    expect(error).toMatchObject({ code: 'SINK_MISCONFIGURED', cause: { code: '3D000' } })
  })
})
