import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { describe, expect, it, onTestFinished } from 'vitest'
import { ReplicationLink } from '../../packages/adapters/redis/src/capture/replication-link.ts'
import { Random } from '../support/random.ts'
import { givenSeed } from '../support/seed.ts'

const id = '0123456789abcdef0123456789abcdef01234567'
const mark = 'M'.repeat(40)

/** A server that answers each command with the next of `answers`, in pieces of the given size. */
async function startSource(
  answers: readonly (string | Buffer)[],
  pieceBytes = () => 65_536,
): Promise<{ port: number }> {
  const server = createServer((socket) => void answer(socket))
  const answer = async (socket: Socket) => {
    socket.on('error', () => {})
    for (const text of answers) {
      await once(socket, 'data')
      const bytes = Buffer.from(text)
      for (let at = 0; at < bytes.length;) {
        const end = at + pieceBytes()
        socket.write(bytes.subarray(at, end))
        // Otherwise the pieces would travel together.
        await new Promise((resolve) => setImmediate(resolve))
        at = end
      }
    }
    socket.end()
  }
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return { port: (server.address() as AddressInfo).port }
}

async function attached(answers: readonly (string | Buffer)[], pieceBytes?: () => number) {
  const link = await ReplicationLink.open(await startSource(['+PONG\r\n', '+OK\r\n', ...answers], pieceBytes))
  onTestFinished(() => link.close())
  return link
}

async function dumpOf(link: ReplicationLink): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of link.dump(() => {})) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

describe('a link to a source', () => {
  const position = { replicationId: id, offset: 7 }

  it.each([
    ['with its length', `$9\r\nREDIS0011`],
    ['with a mark at its end', `$EOF:${mark}\r\nREDIS0011${mark}`],
    ['behind signs of life', `\n\n\n$9\r\nREDIS0011`],
  ])('takes a dump %s, however it is cut', async (_, dump) => {
    const random = new Random(givenSeed ?? 1)
    for (const size of [1, 2, 7, 39, 40, 41, 100]) {
      const link = await attached([`\n+FULLRESYNC ${id} 12\r\n\n${dump}`], () => random.between(1, size))
      expect(await link.attach(undefined)).toEqual({
        kind: 'full',
        position: { replicationId: id, offset: 12 },
      })
      expect(await dumpOf(link)).toBe('REDIS0011')
    }
  })

  it('takes what looks like the mark inside a dump for a part of it', async () => {
    const link = await attached([`+FULLRESYNC ${id} 0\r\n$EOF:${mark}\r\n${mark}and more${mark}`])
    await link.attach(undefined)
    expect(await dumpOf(link)).toBe(`${mark}and more`)
  })

  it('is told under which name the history goes on', async () => {
    const renamed = id.replace('0', 'f')
    expect(await (await attached(['+CONTINUE\r\n'])).attach(position)).toEqual({
      kind: 'partial',
      replicationId: id,
    })
    expect(await (await attached([`+CONTINUE ${renamed}\r\n`])).attach(position)).toEqual({
      kind: 'partial',
      replicationId: renamed,
    })
  })

  it.each([
    ['-NOAUTH Authentication required.'],
    ["-NOPERM this user has no permissions to run the 'psync' command"],
    ['-ERR unknown command'],
    [`+FULLRESYNC ${id.slice(1)} 12`],
    [`+FULLRESYNC ${id} -1`],
    [`+FULLRESYNC ${id} text`],
    ['+CONTINUE 123'],
    ['HTTP/1.1 400 Bad Request'],
  ])('refuses the answer %s', async (line) => {
    const link = await attached([`${line}\r\n`])
    await expect(link.attach(position)).rejects.toMatchObject({ code: 'SOURCE_REFUSED' })
  })

  it('refuses to continue where nothing was asked to be continued', async () => {
    const link = await attached(['+CONTINUE\r\n'])
    await expect(link.attach(undefined)).rejects.toMatchObject({ code: 'SOURCE_REFUSED' })
  })

  it.each([['-LOADING Redis is loading'], ['-NOMASTERLINK Can not SYNC while not connected with my master']])(
    'takes %s for something that passes',
    async (line) => {
      const link = await attached([`${line}\r\n`])
      await expect(link.attach(position)).rejects.not.toHaveProperty('code')
    },
  )

  it.each([['$-1'], ['$abc'], [`$EOF:${mark.slice(1)}`], ['+OK']])(
    'refuses a dump that begins with %s',
    async (line) => {
      const link = await attached([`+FULLRESYNC ${id} 12\r\n${line}\r\n`])
      await link.attach(undefined)
      await expect(dumpOf(link)).rejects.toMatchObject({ code: 'SOURCE_REFUSED' })
    },
  )

  it('gives no more of a dump than it was said to have, and nothing of an empty one', async () => {
    for (const [dump, expected] of [
      ['$0\r\nREDIS0011', ''],
      ['$5\r\nREDIS0011', 'REDIS'],
    ] as const) {
      const link = await attached([`+FULLRESYNC ${id} 12\r\n${dump}`])
      await link.attach(undefined)
      expect(await dumpOf(link)).toBe(expected)
    }
  })

  it('fails when the source goes away, at every byte of what it says', async () => {
    const whole = `+FULLRESYNC ${id} 12\r\n$EOF:${mark}\r\nREDIS0011${mark}`
    for (let length = 1; length < whole.length; length += 5) {
      const link = await attached([whole.slice(0, length)])
      await expect(link.attach(undefined).then(() => dumpOf(link))).rejects.toThrow(
        'the connection was closed',
      )
    }
  })
})
