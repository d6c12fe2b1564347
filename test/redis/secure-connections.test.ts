import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { notes } from '@headwater/conformance'
import { connect, type Credentials } from '@headwater/core'
import { freePort, startRedis, type OwnRedisServer } from '@headwater/local-servers'
import { Redis } from 'ioredis'
import { afterEach, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'

let server: OwnRedisServer

afterEach(async () => {
  await server.stop()
})

const options = { namespace: 'shop', collections: [notes], deadlineMs: 1_000 }
const note = notes.put({ id: 'lamp', content: 1 })

describe('a server that asks for client certificates', () => {
  const folder = join(import.meta.dirname, '../capture/tls')
  const [certificate, key] = ['certificate.pem', 'key.pem'].map((name) => join(folder, name)) as [
    string,
    string,
  ]

  async function secureTarget() {
    const port = await freePort()
    server = await startRedis({
      own: true,
      config: {
        'tls-port': String(port),
        'tls-cert-file': certificate,
        'tls-key-file': key,
        'tls-ca-cert-file': certificate,
        'tls-auth-clients': 'yes',
      },
    })
    return { host: 'localhost', port }
  }

  it('takes a program that has one', async () => {
    const address = await secureTarget()
    const ca = readFileSync(certificate)
    await using log = await connect({ ...address, tls: { ca, cert: ca, key: readFileSync(key) } }, options)
    expect(await log.append(note)).toMatchObject({ version: '1' })
  })

  it.each([
    ['has none', { ca: readFileSync(certificate) }],
    ['does not trust it', { cert: readFileSync(certificate), key: readFileSync(key) }],
  ])('is told of in time where a program %s', async (_, tls) => {
    const address = await secureTarget()
    await expect(connect({ ...address, tls }, options)).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' })
  })
})

describe('a password that changes while a program runs', () => {
  it('is asked for again at the next connection', async () => {
    server = await startRedis({ own: true })
    const admin = new Redis(server.options)
    const rights = ['on', '~*', '&*', '+@all']
    await admin.call('ACL', 'SETUSER', 'shop', ...rights, '>first')
    let credentials: Credentials = { username: 'shop', password: 'first' }
    await using log = await connect(server.options, {
      ...options,
      credentials: () => credentials,
      deadlineMs: 10_000,
    })
    await log.append(note)
    await admin.call('ACL', 'SETUSER', 'shop', '>second')
    credentials = { username: 'shop', password: 'second' }
    await admin.call('ACL', 'SETUSER', 'shop', '<first')
    await admin.call('CLIENT', 'KILL', 'USER', 'shop')
    expect(await log.append(note)).toMatchObject({ version: '2' })
    admin.disconnect()
  })

  it('shows up in no error', async () => {
    server = await startRedis({ own: true, config: { requirepass: 'right' } })
    const refused = await connect({ ...server.options, password: 'wrong-secret' }, options).catch(
      (error: unknown) => error,
    )
    await eventually(() => expect(refused).toMatchObject({ name: 'HeadwaterError' }))
    expect(JSON.stringify(refused, Object.getOwnPropertyNames(refused))).not.toContain('wrong-secret')
  })
})
