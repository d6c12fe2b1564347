import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { deflateSync, gunzipSync, gzipSync } from 'node:zlib'
import { notes } from '@headwater/conformance'
import {
  archive,
  directoryArchive,
  setRetention,
  stopArchiving,
  trim,
  verifyArchive,
  type ArchiveStore,
  type Change,
  type Log,
} from '@headwater/core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { client, server, startOwnRedis } from '../support/own-redis.ts'
import { appendEach, openTestLog, partitionKeys } from '../worker/test-log.ts'
import type { ArchiverProcessOptions } from './archiver-process.ts'

let directory: string
let store: ArchiveStore
let log: Log

startOwnRedis()

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'headwater-archive-'))
  store = directoryArchive(directory)
  log = await openTestLog(server.options, { archive: store })
  await setRetention(log, { retentionMs: 0 })
})
afterEach(async () => {
  await client.config('SET', 'maxmemory', '0')
  await log.close()
  rmSync(directory, { recursive: true })
})

const keys = () => partitionKeys(log, 'nobody')
const small = { segmentSize: 2_000 }
/** 40 batches of ten changes, some 300 characters each: several small segments. */
async function fill(batches = 40): Promise<void> {
  for (let batch = 0; batch < batches; batch++) {
    await log.append(
      Array.from({ length: 10 }, (_, at) => notes.put({ id: `${at}`, content: batch }), {
        idempotencyKey: 'x',
      }),
    )
  }
}
const parts = ({ collection, key, kind, version, stamp, time, payload, metadata, position }: Change) => ({
  collection,
  key,
  kind,
  version,
  stamp,
  time,
  payload,
  metadata,
  position,
})

async function readAll(from: Parameters<Log['read']>[1] = 'beginning', of = log): Promise<object[]> {
  const changes: object[] = []
  for await (const change of of.read(0, from)) changes.push(parts(change))
  return changes
}
const folder = () => join(directory, readdirSync(directory)[0]!, '0')
const segments = () => readdirSync(folder()).filter((name) => name.endsWith('.ndjson.gz'))
/** The archiver died longer ago than its right lasts. */
async function expireRight(): Promise<void> {
  const [token, , from, owner] = (await client.hget(keys().header, 'archive'))!.split(' ')
  await client.hset(keys().header, 'archive', [token, 1, from, owner].join(' '))
}

function withSegment(manifest: { segments: object[] }, wrong: object): object {
  return { ...manifest, segments: manifest.segments.map((segment) => ({ ...segment, ...wrong })) }
}

/** Changes the first segment, or removes it. */
function alterSegment(alter: (piece: Buffer) => Buffer | undefined): string {
  const name = segments().find((file) => file.startsWith('1-'))!
  const path = join(folder(), name)
  const altered = alter(readFileSync(path))
  if (altered) writeFileSync(path, altered)
  else rmSync(path)
  return name
}

describe('an archived log', () => {
  it('is trimmed no further than it is archived, from the first time on', async () => {
    await fill(10)
    await archive(log, store)
    await fill(10)
    expect(await trim(log)).toMatchObject([
      { removed: 100, trimmed: 100, heldBy: { kind: 'archive', name: 'archive' } },
    ])
    await archive(log, store)
    expect(await trim(log)).toMatchObject([{ removed: 100, trimmed: 200 }])
  })

  it('is read through the archive as before it was trimmed, from wherever', async () => {
    await fill()
    await log.append(notes.put({ id: 'strange \\ \n key', content: 1 }), { metadata: { by: 'Zoë "Z"' } })
    await log.append(notes.delete('strange \\ \n key'))
    const before = await readAll()
    const [report] = await archive(log, store, small)
    expect(report).toMatchObject({ changes: 402, archived: { epoch: 1, sequence: 402 } })
    expect(segments().length).toBeGreaterThan(3)
    await appendEach(log, [1, 2])
    expect(await trim(log)).toMatchObject([{ trimmed: 402 }])
    const after = await readAll()
    expect(after.slice(0, 402)).toEqual(before)
    expect(after).toHaveLength(404)
    for (const at of [0, 7, 399, 401, 402]) {
      expect(await readAll((after[at] as Change).position)).toEqual(after.slice(at + 1))
    }
  })

  it('tells the history of a key, and its value at every version, time and position', async () => {
    const results = await appendEach(log, [1, 2, 3, 4])
    const whole: string[] = []
    for await (const { version } of log.history(notes, 'lamp')) whole.push(version)
    const [, second] = await readAll()
    await archive(log, store, { segmentSize: 1 })
    await trim(log)
    expect(await client.xlen(keys().log)).toBe(0)
    const archived: string[] = []
    for await (const { version } of log.history(notes, 'lamp')) archived.push(version)
    expect(archived).toEqual(whole)
    expect(await log.getAt(notes, 'lamp', { version: results[1]!.version })).toMatchObject({
      value: { content: 2 },
    })
    expect(await log.getAt(notes, 'lamp', { position: results[2]!.position })).toMatchObject({
      value: { content: 3 },
    })
    const time = (second as Change).time
    const atTime = await log.getAt(notes, 'lamp', { time })
    expect((atTime!.value as { content: number }).content).toBeGreaterThanOrEqual(2)
    expect(await log.getAt(notes, 'lamp', { time: time - 60_000 })).toBeUndefined()
    expect(await log.getAt(notes, 'never', { position: results[3]!.position })).toBeUndefined()
  })

  it('is, without its archive, told to be trimmed and never to be empty', async () => {
    const [first] = await appendEach(log, [1, 2])
    await archive(log, store)
    await trim(log)
    await using bare = await openTestLog(server.options, { namespace: log.namespace })
    await expect(readAll(first!.position, bare)).rejects.toMatchObject({ code: 'HISTORY_TRIMMED' })
    for (const moment of [{ time: Date.now() - 60_000 }, { position: first!.position }]) {
      await expect(bare.getAt(notes, 'lamp', moment)).rejects.toMatchObject({ code: 'HISTORY_TRIMMED' })
    }
  })

  it('is read past what a failover has lost of it', async () => {
    await appendEach(log, [1, 2, 3, 4])
    await archive(log, store)
    // A replica that had not got the last two is the master now.
    await client.xdel(keys().log, '1-3', '1-4')
    await client.hset(keys().header, { sequence: 2, epoch: 2, 'epoch:2': '2 branch 1' })
    await client.xgroup('CREATE', keys().log, 'x', '0')
    await appendEach(log, [5, 6, 7])
    await archive(log, store)
    expect(await trim(log)).toMatchObject([{ trimmed: 5 }])
    const changes = (await readAll()) as Change[]
    expect(changes.map(({ stamp }) => `${stamp.epoch}-${stamp.sequence}`)).toEqual([
      '1-1',
      '1-2',
      '2-3',
      '2-4',
      '2-5',
    ])
    expect(await log.getAt(notes, 'lamp', { position: changes[1]!.position })).toMatchObject({
      value: { content: 2 },
    })
  })

  it('begins with what is left, where trimming began before archiving', async () => {
    await appendEach(log, [1, 2])
    await trim(log)
    await appendEach(log, [3, 4])
    await archive(log, store)
    await trim(log)
    expect(((await readAll()) as Change[]).map(({ stamp }) => stamp.sequence)).toEqual([3, 4])
  })

  it('is archived on a full server', async () => {
    await fill(5)
    await client.config('SET', 'maxmemory', '1')
    await archive(log, store)
    expect(await trim(log)).toMatchObject([{ removed: 50 }])
  })

  it('holds nothing back any more when archiving is given up, and begins anew', async () => {
    await appendEach(log, [1, 2])
    await archive(log, store)
    await appendEach(log, [3])
    await stopArchiving(log)
    expect(await trim(log)).toMatchObject([{ trimmed: 3, heldBy: undefined }])
    await appendEach(log, [4])
    await archive(log, store)
    const read = await readAll().then(
      () => 'all',
      (error: Error) => error.message,
    )
    expect(read).toContain('[HISTORY_TRIMMED]')
  })
})

describe('archivers', () => {
  it('do a partition one at a time', async () => {
    await fill(5)
    let go!: () => void
    const gate = new Promise<void>((resolve) => (go = resolve))
    let writing = false
    const slow: ArchiveStore = {
      ...store,
      write: async (path, piece) => {
        writing = true
        await gate
        await store.write(path, piece)
      },
    }
    const first = archive(log, slow)
    await eventually(() => expect(writing).toBe(true))
    await using other = await openTestLog(server.options, { namespace: log.namespace })
    await expect(archive(other, store)).rejects.toMatchObject({ code: 'HOLD_TAKEN' })
    go()
    expect(await first).toMatchObject([{ changes: 50 }])
    expect(await archive(other, store)).toMatchObject([{ changes: 0 }])
  })

  it('that wake up late take nothing back of what their successor did', async () => {
    await fill(20)
    let go!: () => void
    const gate = new Promise<void>((resolve) => (go = resolve))
    let writes = 0
    const sleepy: ArchiveStore = {
      ...store,
      write: async (path, piece) => {
        // The first segment is done; its manifest comes very late.
        if (++writes === 2) await gate
        await store.write(path, piece)
      },
    }
    const first = archive(log, sleepy, small)
    await eventually(() => expect(writes).toBe(2))
    await expireRight()
    await using other = await openTestLog(server.options, { namespace: log.namespace })
    await archive(other, store, small)
    await trim(log)
    go()
    await expect(first).rejects.toMatchObject({ code: 'HOLD_TAKEN' })
    expect(await readAll()).toHaveLength(200)
    expect(await archive(other, store)).toMatchObject([{ changes: 0, archived: { sequence: 200 } }])
    expect(await verifyArchive(log, store)).toMatchObject([{ changes: 200, first: 1, last: 200 }])
    expect(readdirSync(folder()).filter((name) => name.startsWith('manifest.'))).toHaveLength(1)
  })

  it.each<Pick<ArchiverProcessOptions, 'write' | 'when'>>([
    { write: 1, when: 'after' },
    { write: 2, when: 'during' },
    { write: 2, when: 'after' },
    { write: 3, when: 'during' },
    { write: 4, when: 'after' },
  ])('that are killed $when write $write are followed by one that completes their work', async (death) => {
    await fill(15)
    const before = await readAll()
    const options: ArchiverProcessOptions = {
      log: server.options,
      namespace: log.namespace,
      directory,
      ...death,
    }
    const program = fileURLToPath(new URL('archiver-process.ts', import.meta.url))
    const flags = ['--conditions=@headwater/source', '--import', 'tsx', program, JSON.stringify(options)]
    const child = spawn(process.execPath, flags, {
      cwd: fileURLToPath(new URL('..', import.meta.url)),
      stdio: 'ignore',
    })
    expect(await once(child, 'exit')).toEqual([null, 'SIGKILL'])
    await trim(log)
    expect(await readAll()).toEqual(before)
    await expireRight()
    await archive(log, store, small)
    expect(await trim(log)).toMatchObject([{ trimmed: 150 }])
    expect(await readAll()).toEqual(before)
    // Nothing is left of those who were killed.
    const manifest = readdirSync(folder()).filter((name) => name.startsWith('manifest.'))
    expect(manifest).toHaveLength(1)
    const listed = JSON.parse(readFileSync(join(folder(), manifest[0]!), 'utf8')) as {
      segments: { file: string }[]
    }
    expect(segments().toSorted()).toEqual(listed.segments.map(({ file }) => file).toSorted())
    expect(readdirSync(folder()).some((name) => name.endsWith('.unfinished'))).toBe(false)
  })
})

describe('damage in an archive', () => {
  it.each([
    ['is gone', () => undefined, 'it is gone'],
    ['is cut off', (piece: Buffer) => piece.subarray(0, piece.length - 20), 'it cannot be decompressed'],
    [
      'has a changed line',
      (piece: Buffer) => gzipSync(gunzipSync(piece).toString().replace('"versions":"', '"versions":"x')),
      'the line there is no batch',
    ],
    [
      'has a changed payload',
      (piece: Buffer) =>
        gzipSync(
          gunzipSync(piece)
            .toString()
            .replace(/content\\":\d/, 'content\\":9'),
        ),
      'its checksum is another',
    ],
    ['is larger than what was written', () => gzipSync(Buffer.alloc(50_000_000)), 'were written'],
    [
      'was encoded by something else',
      (piece: Buffer) => deflateSync(gunzipSync(piece)).subarray(0, 40),
      'it cannot be decompressed',
    ],
    [
      'is followed by bytes',
      (piece: Buffer) => Buffer.concat([piece.subarray(0, -4), Buffer.alloc(4)]),
      'it cannot be decompressed',
    ],
    ['is empty', () => Buffer.alloc(0), 'it cannot be decompressed'],
    [
      'lacks a line',
      (piece: Buffer) =>
        gzipSync(
          gunzipSync(piece)
            .toString()
            .replace(/^[^\n]*\n/, ''),
        ),
      'are missing',
    ],
  ])('is told with segment and offset where one %s', async (_, alter, says) => {
    await fill(20)
    await archive(log, store, small)
    await trim(log)
    const file = alterSegment(alter)
    const told = {
      code: 'ARCHIVE_DAMAGED',
      message: expect.stringMatching(
        new RegExp(`${file.replaceAll('.', '\\.')}.*at offset \\d+.*${says}`),
      ) as string,
    }
    await expect(readAll()).rejects.toMatchObject(told)
    await expect(verifyArchive(log, store)).rejects.toMatchObject(told)
  })

  it.each<[string, (manifest: { segments: object[] }) => unknown]>([
    ['no JSON', () => '{'],
    ['a list', () => []],
    ['null', () => null],
    ['of another format', (manifest) => ({ ...manifest, format: 2 })],
    ['of another partition', (manifest) => ({ ...manifest, partition: 7 })],
    ['without segments', (manifest) => ({ ...manifest, segments: undefined })],
    ['with a segment that is none', (manifest) => ({ ...manifest, segments: [null] })],
    ['with a segment elsewhere', (manifest) => withSegment(manifest, { file: '../../../../etc/passwd' })],
    [
      'with a segment in no order',
      (manifest) => withSegment(manifest, { last: { epoch: 1, sequence: '7' } }),
    ],
    ['with a segment of no size', (manifest) => withSegment(manifest, { bytes: null })],
    ['with a segment larger than any', (manifest) => withSegment(manifest, { bytes: 2 ** 40 })],
  ])('is told where a manifest is %s', async (_, alter) => {
    await fill(20)
    await archive(log, store, small)
    await trim(log)
    const [name] = readdirSync(folder()).filter((file) => file.endsWith('.json'))
    const path = join(folder(), name!)
    const altered = alter(JSON.parse(readFileSync(path, 'utf8')) as { segments: object[] })
    writeFileSync(path, typeof altered === 'string' ? altered : JSON.stringify(altered))
    const told = { code: 'ARCHIVE_DAMAGED', message: expect.stringContaining(name!) as string }
    await expect(readAll()).rejects.toMatchObject(told)
    await expect(verifyArchive(log, store)).rejects.toMatchObject(told)
    await expect(archive(log, store)).rejects.toMatchObject(told)
  })

  it.each<[string, (path: string) => void]>([
    ['has a terabyte', (path) => truncateSync(path, 2 ** 40)],
    ['is a pipe', (path) => (rmSync(path), execFileSync('mkfifo', [path]))],
  ])('is told of what %s before memory is taken for it', async (_, alter) => {
    await fill(5)
    await archive(log, store)
    await trim(log)
    const names = readdirSync(folder()).toSorted(
      (a, b) => Number(b.endsWith('.gz')) - Number(a.endsWith('.gz')),
    )
    const before = process.memoryUsage.rss()
    // The segment first, because nobody comes to it without the manifest.
    for (const name of names) {
      alter(join(folder(), name))
      const told = { code: 'ARCHIVE_DAMAGED', message: expect.stringContaining(name) as string }
      await expect(readAll()).rejects.toMatchObject(told)
      await expect(verifyArchive(log, store)).rejects.toMatchObject(told)
    }
    expect(process.memoryUsage.rss() - before).toBeLessThan(100_000_000)
  })

  it('is told of a segment that decompresses to more than any, whatever its manifest says', async () => {
    await fill(5)
    await archive(log, store)
    await trim(log)
    const bomb = gzipSync(Buffer.alloc(300_000_000))
    const file = alterSegment(() => bomb)
    const [name] = readdirSync(folder()).filter((one) => one.endsWith('.json'))
    const path = join(folder(), name!)
    const manifest = JSON.parse(readFileSync(path, 'utf8')) as { segments: object[] }
    writeFileSync(path, JSON.stringify(withSegment(manifest, { bytes: bomb.length })))
    const before = process.memoryUsage.rss()
    await expect(readAll()).rejects.toMatchObject({
      code: 'ARCHIVE_DAMAGED',
      message: expect.stringMatching(
        new RegExp(`${file}.* at offset 134217728 .*: it goes on, and none is as large`),
      ) as string,
    })
    expect(process.memoryUsage.rss() - before).toBeLessThan(200_000_000)
  })

  it.each([0, -1, 1.5, Number.NaN, 2 ** 30, '8mb' as never])(
    'comes from no segment size that cannot be, or that nobody would read: %s',
    async (segmentSize) => {
      await expect(archive(log, store, { segmentSize })).rejects.toMatchObject({ code: 'OPTION_INVALID' })
      expect(readdirSync(directory)).toEqual([])
    },
  )

  it('is told before anything is archived on top of an archive that was emptied', async () => {
    await fill(5)
    await archive(log, store)
    await trim(log)
    await fill(5)
    const elsewhere = mkdtempSync(join(tmpdir(), 'headwater-archive-'))
    await expect(archive(log, directoryArchive(elsewhere))).rejects.toMatchObject({
      code: 'ARCHIVE_DAMAGED',
      message: expect.stringContaining('is it another archive than before') as string,
    })
    rmSync(elsewhere, { recursive: true })
    expect(await archive(log, store)).toMatchObject([{ changes: 50 }])
  })
})
