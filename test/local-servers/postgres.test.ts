import { existsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { type OwnPostgresServer, type PostgresServer, startPostgres } from '@headwater/local-servers'
import { Client, type QueryResultRow } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isRunning } from '../support/process-tree.ts'

async function query(
  address: PostgresServer['connection'] | string,
  text: string,
): Promise<QueryResultRow[]> {
  const client = new Client(address)
  await client.connect()
  try {
    return (await client.query<QueryResultRow>(text)).rows
  } finally {
    await client.end()
  }
}

describe('a Postgres server', () => {
  let server: OwnPostgresServer

  beforeAll(async () => {
    server = await startPostgres({ own: true, config: { max_connections: '23', wal_level: 'logical' } })
  })

  afterAll(() => server.stop())

  it('answers on a socket in a private folder, by its connection and by its URL', async () => {
    const everything = 'SELECT current_user, current_database(), current_schema(), inet_server_addr()'
    const expected = [
      {
        current_user: 'postgres',
        current_database: 'postgres',
        current_schema: 'public',
        inet_server_addr: null,
      },
    ]
    expect(await query(server.connection, everything)).toEqual(expected)
    expect(await query(server.url, everything)).toEqual(expected)
    expect(server.schema).toBe('public')
    expect(statSync(dirname(server.dir)).mode & 0o777).toBe(0o700)
  })

  it('listens on no port', async () => {
    expect(await query(server.connection, 'SHOW listen_addresses')).toEqual([{ listen_addresses: '' }])
  })

  it('takes settings', async () => {
    expect(await query(server.connection, 'SHOW max_connections')).toEqual([{ max_connections: '23' }])
    expect(await query(server.connection, 'SHOW wal_level')).toEqual([{ wal_level: 'logical' }])
  })

  it('does not wait for the disk', async () => {
    expect(await query(server.connection, 'SHOW fsync')).toEqual([{ fsync: 'off' }])
  })

  it('keeps what was committed when it is killed and restarted, at the same address', async () => {
    const { pid } = server
    await query(server.connection, 'CREATE TABLE kept AS SELECT 1 AS n')
    await server.kill('SIGKILL')
    expect(isRunning(pid)).toBe(false)
    await server.restart()
    expect(server.pid).not.toBe(pid)
    expect(await query(server.connection, 'SELECT n FROM kept')).toEqual([{ n: 1 }])
  })

  it('does not collide with another', async () => {
    await using other = await startPostgres({ own: true })
    await query(other.connection, 'CREATE TABLE elsewhere ()')
    await expect(query(server.connection, 'SELECT FROM elsewhere')).rejects.toThrow('does not exist')
  })

  it('waits for the disk when it is to be durable', async () => {
    await using durable = await startPostgres({ own: true, durable: true })
    expect(await query(durable.connection, 'SHOW fsync')).toEqual([{ fsync: 'on' }])
  })

  it('says why it did not start', async () => {
    await expect(startPostgres({ own: true, config: { no_such_setting: 'on' } })).rejects.toThrow(
      /no_such_setting.*\[DID_NOT_START\]/s,
    )
  })
})

describe('a Postgres server after stop', () => {
  it('is gone with its folder, though a client is still connected, and stopping it again is harmless', async () => {
    const server = await startPostgres({ own: true })
    const client = new Client(server.connection)
    client.on('error', () => {})
    await client.connect()
    await server.stop()
    await server.stop()
    expect(isRunning(server.pid)).toBe(false)
    expect(existsSync(dirname(server.dir))).toBe(false)
    await expect(server.kill('SIGKILL')).rejects.toThrow('[STOPPED]')
    await expect(server.restart()).rejects.toThrow('[STOPPED]')
  })
})
