import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { HeadwaterError } from '@headwater/core'
import { Bell } from './bell.ts'
import type { ReplicationPosition } from './replication-link.ts'
import { isRunning, systemStart } from './system-start.ts'

const SEGMENT_BYTES = 16 << 20
const READ_BYTES = 1 << 20
const DUMP = 'dump.rdb'
const RECORD = 'spool.json'
const LOCK = 'spool.lock'

/** What the spool holds was replaced by something else while it was read. */
export class SpoolReplaced extends Error {}

interface Segment {
  /** Of the last byte before it. */
  readonly start: number
  bytes: number
}

/** Kept in the folder, so that another process can go on where this one stopped. */
interface SpoolRecord {
  readonly systemStart: string
  readonly replicationIds: readonly string[]
  readonly start: number
  /** Whether it begins with a dump, and whether all of that has arrived. */
  readonly dump: 'none' | 'arriving' | 'whole'
}

/**
 * What a source sent and the target does not have yet, on disk: so the source never has to wait for the target, and its
 * buffers never fill. One dump at most, and the stream behind it in segments that are removed when they were applied.
 *
 * It is not synced to disk at every piece: after a crash of the machine it is thrown away, and the source sends again.
 */
export class Spool {
  readonly #folder: string
  readonly #bell = new Bell()
  #record: SpoolRecord | undefined
  #segments: Segment[] = []
  #writer: FileHandle | undefined
  #reader: { readonly start: number; readonly file: FileHandle } | undefined
  #generation = 0

  private constructor(folder: string) {
    this.#folder = folder
  }

  /** Opens the folder for this process alone. @throws HeadwaterError OPTION_INVALID when another one has it */
  static open(folder: string): Spool {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    lock(join(folder, LOCK))
    const spool = new Spool(folder)
    spool.#restore()
    return spool
  }

  /** Rises whenever the content is replaced. */
  get generation(): number {
    return this.#generation
  }

  /** Up to where the stream has arrived; undefined when the spool is empty or its dump is incomplete. */
  get position(): ReplicationPosition | undefined {
    if (this.#record === undefined || this.#record.dump === 'arriving') return undefined
    return { replicationId: this.#record.replicationIds[0]!, offset: this.end }
  }

  /** Of the last byte that has arrived. */
  get end(): number {
    const last = this.#segments.at(-1)
    return last === undefined ? (this.#record?.start ?? 0) : last.start + last.bytes
  }

  /** Where its dump is, if it has one and all of it. */
  get dumpFile(): string | undefined {
    return this.#record?.dump === 'whole' ? join(this.#folder, DUMP) : undefined
  }

  /** Where the stream behind the dump begins. */
  get start(): ReplicationPosition {
    return { replicationId: this.#record!.replicationIds[0]!, offset: this.#record!.start }
  }

  /** Whether what follows this position is here. */
  covers({ replicationId, offset }: ReplicationPosition): boolean {
    if (this.position === undefined || !this.#record!.replicationIds.includes(replicationId)) return false
    return offset >= (this.#segments[0]?.start ?? this.#record!.start) && offset <= this.end
  }

  /** Waits until there is something to apply. */
  async ready(signal: AbortSignal): Promise<void> {
    for (;;) {
      const changed = this.#bell.next
      if (this.position !== undefined) return
      await this.#wait(changed, signal)
    }
  }

  /** Throws away what it holds. */
  async clear(): Promise<void> {
    this.#generation++
    this.#record = undefined
    this.#segments = []
    await this.#closeFiles()
    for (const file of readdirSync(this.#folder)) if (file !== LOCK) rmSync(join(this.#folder, file))
    this.#bell.ring()
  }

  /** Begins anew with a dump, to be written next. */
  async beginWithDump({ replicationId, offset }: ReplicationPosition): Promise<void> {
    await this.clear()
    this.#save({ replicationIds: [replicationId], start: offset, dump: 'arriving' })
    this.#writer = await open(join(this.#folder, DUMP), 'w', 0o600)
  }

  /** Begins anew behind a position that the target has. */
  async beginAt({ replicationId, offset }: ReplicationPosition): Promise<void> {
    await this.clear()
    this.#save({ replicationIds: [replicationId], start: offset, dump: 'none' })
    this.#bell.ring()
  }

  async writeDump(chunk: Buffer): Promise<void> {
    await this.#writer!.writeFile(chunk)
  }

  async finishDump(): Promise<void> {
    await this.#writer?.close()
    this.#writer = undefined
    this.#save({ ...this.#record!, dump: 'whole' })
    this.#bell.ring()
  }

  /** The dump was applied and is not needed any more. */
  dropDump(): void {
    if (this.#record?.dump !== 'whole') return
    this.#save({ ...this.#record, dump: 'none' })
    rmSync(join(this.#folder, DUMP), { force: true })
  }

  /** The same history goes on under another name: the source failed over. */
  rename(replicationId: string): void {
    const { replicationIds } = this.#record!
    if (replicationIds[0] === replicationId) return
    this.#save({ ...this.#record!, replicationIds: [replicationId, ...replicationIds] })
  }

  /** Takes the next piece of the stream. */
  async append(chunk: Buffer): Promise<void> {
    let segment = this.#segments.at(-1)
    if (segment === undefined || segment.bytes >= SEGMENT_BYTES || this.#writer === undefined) {
      await this.#writer?.close()
      segment = { start: this.end, bytes: 0 }
      this.#writer = await open(this.#segmentFile(segment.start), 'w', 0o600)
      this.#segments.push(segment)
    }
    await this.#writer.writeFile(chunk)
    segment.bytes += chunk.length
    this.#bell.ring()
  }

  /**
   * The stream behind `offset`, as much as is at hand; waits when nothing is.
   *
   * @throws SpoolReplaced, or the signal's reason
   */
  async read(generation: number, offset: number, signal: AbortSignal): Promise<Buffer> {
    for (;;) {
      signal.throwIfAborted()
      if (generation !== this.#generation) throw new SpoolReplaced()
      const changed = this.#bell.next
      const segment = this.#segments.findLast(({ start, bytes }) => start <= offset && offset < start + bytes)
      if (segment !== undefined) return await this.#readSegment(segment, offset, generation)
      await this.#wait(changed, signal)
    }
  }

  /** Removes what stands before `offset`. */
  release(offset: number): void {
    while (this.#segments.length > 1 && this.#segments[1]!.start <= offset) {
      const { start } = this.#segments.shift()!
      rmSync(this.#segmentFile(start), { force: true })
    }
  }

  async close(): Promise<void> {
    await this.#closeFiles()
    rmSync(join(this.#folder, LOCK), { force: true })
  }

  async #readSegment(segment: Segment, offset: number, generation: number): Promise<Buffer> {
    try {
      return await this.#readFile(segment, offset)
    } catch (error) {
      // `clear` closed the file meanwhile.
      throw generation === this.#generation ? error : new SpoolReplaced()
    }
  }

  async #readFile({ start, bytes }: Segment, offset: number): Promise<Buffer> {
    if (this.#reader?.start !== start) {
      await this.#reader?.file.close()
      this.#reader = undefined
      this.#reader = { start, file: await open(this.#segmentFile(start), 'r') }
    }
    const at = offset - start
    const { buffer, bytesRead } = await this.#reader.file.read({
      buffer: Buffer.allocUnsafe(Math.min(READ_BYTES, bytes - at)),
      position: at,
    })
    if (bytesRead === 0) throw new SpoolReplaced()
    return buffer.subarray(0, bytesRead)
  }

  #wait(changed: Promise<void>, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const stop = () => reject(signal.reason as Error)
      if (signal.aborted) return stop()
      signal.addEventListener('abort', stop, { once: true })
      void changed.then(() => {
        signal.removeEventListener('abort', stop)
        resolve()
      })
    })
  }

  #save(record: Omit<SpoolRecord, 'systemStart'>): void {
    this.#record = { ...record, systemStart: systemStart() }
    const file = join(this.#folder, RECORD)
    writeFileSync(`${file}.new`, JSON.stringify(this.#record), { mode: 0o600 })
    renameSync(`${file}.new`, file)
  }

  #restore(): void {
    const file = join(this.#folder, RECORD)
    const record = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as SpoolRecord) : undefined
    if (record === undefined || record.systemStart !== systemStart() || record.dump === 'arriving') return
    const starts = readdirSync(this.#folder)
      .flatMap((name) => /^stream-(\d+)$/.exec(name)?.[1] ?? [])
      .map(Number)
      .toSorted((a, b) => a - b)
    const segments = starts
      .map((start) => ({ start, bytes: statSync(this.#segmentFile(start)).size }))
      .filter(({ bytes }) => bytes > 0)
    const isDense = segments.every(
      ({ start }, at) => at === 0 || start === segments[at - 1]!.start + segments[at - 1]!.bytes,
    )
    if (!isDense) return
    this.#record = record
    this.#segments = segments
  }

  #segmentFile(start: number): string {
    return join(this.#folder, `stream-${start}`)
  }

  async #closeFiles(): Promise<void> {
    const files = [this.#writer, this.#reader?.file]
    this.#writer = undefined
    this.#reader = undefined
    for (const file of files) await file?.close()
  }
}

function lock(file: string): void {
  for (;;) {
    try {
      return writeFileSync(file, String(process.pid), { flag: 'wx', mode: 0o600 })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const holder = Number(readFileSync(file, 'utf8'))
    if (holder === process.pid || isRunning(holder)) {
      throw new HeadwaterError(
        'OPTION_INVALID',
        `The spool ${file} is in use by process ${holder}. Give each capture a name, or a spool folder, of its own.`,
      )
    }
    rmSync(file, { force: true })
  }
}
