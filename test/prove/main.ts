import { randomUUID } from 'node:crypto'
import { parseArgs } from 'node:util'
import { connect, repair, verify, type Collection, type Log, type VerifyReport } from '@headwater/core'
import { startPostgres, startRedis } from '@headwater/local-servers'
import { postgresCopy, redisCopy, type Copy } from '../verify/copies.ts'
import { itemsCollection, type Item } from '../verify/shop.ts'
import { Live } from './live.ts'
import { socketBytes } from './socket-bytes.ts'

// Plants faults of every kind in a Redis and a Postgres copy under live traffic, and counts how verify and repair do.

const { values } = parseArgs({
  options: {
    keys: { type: 'string', default: '20000' },
    faults: { type: 'string', default: '200' },
    json: { type: 'boolean', default: false },
  },
})
const [keys, faults] = [Number(values.keys), Number(values.faults)]
if (!(Number.isInteger(keys) && Number.isInteger(faults) && faults >= 0 && keys >= 2 * faults && keys > 0)) {
  throw new Error(
    `--keys ${values.keys} must be a whole number, and twice --faults ${values.faults} or more.`,
  )
}
const result = await prove()
const { planted, found, wrongVerdicts, falseAlarms, mended, touchedOther } = result
const lines = Object.entries(result).map(([name, value]) => `${name.padEnd(16)}${String(value)}`)
process.stdout.write(values.json ? `${JSON.stringify(result)}\n` : `${lines.join('\n')}\n`)
const isProven = found === planted && mended === planted && wrongVerdicts + falseAlarms + touchedOther === 0
process.exit(isProven ? 0 : 1)

interface Result {
  readonly keys: number
  readonly planted: number
  /** Planted faults that verify has reported. */
  readonly found: number
  /** Of these, reported as something else than they are. */
  readonly wrongVerdicts: number
  /** Keys reported that nobody has damaged. */
  readonly falseAlarms: number
  readonly mended: number
  /** Rows of other keys that are not as they were. */
  readonly touchedOther: number
  /** What one verification of both copies by digests sent and received, protocols included. */
  readonly bytesMoved: number
  readonly verifySeconds: number
  readonly seconds: number
  /** The most memory that the prover had resident; servers, worker and traffic have processes of their own. */
  readonly peakMegabytes: number
}

interface Fault {
  readonly copy: Copy
  readonly key: string
  /** What verify must say. */
  readonly verdict: string
  /** Whether only stored values show it. */
  readonly deep: boolean
  readonly plant: () => Promise<void>
}

async function prove(): Promise<Result> {
  const began = performance.now()
  await using redis = await startRedis()
  await using postgres = await startPostgres()
  const items = itemsCollection()
  const namespace = `${redis.namespacePrefix}prove-${randomUUID()}`
  await using log = await connect(redis.options, { namespace, collections: [items] })
  const names = { redis: `${redis.namespacePrefix}prove-${randomUUID()}`, postgres: `prove_${randomUUID()}` }
  const { connection, schema } = postgres
  const prefix = redis.namespacePrefix
  const copies = [
    redisCopy(items, redis.options, prefix, names.redis),
    postgresCopy(items, { connection, schema }, names.postgres),
  ]
  const settings = { redis: redis.options, postgres: { connection, schema }, namespace, prefix, names }
  const live = await Live.start(settings)

  const ids = Array.from({ length: keys }, (_, at) => `item-${at}`)
  await inPages(ids, (some) => Promise.all(some.map((id) => log.append(items.put({ id, count: 1 })))))
  await caughtUp(log, copies)
  say(`${keys} keys in both copies`)
  const before = await Promise.all(copies.map((copy) => copy.dump()))
  say('what they hold is noted')
  live.startTraffic()
  const planted = await plant(log, items, copies)
  say(`${planted.length} faults planted`)

  const bytesAtStart = socketBytes()
  const verifyBegan = performance.now()
  const shallow = await verifyAll(log, copies, false)
  const [bytesMoved, verifySeconds] = [socketBytes() - bytesAtStart, secondsSince(verifyBegan)]
  say(`verified in ${verifySeconds} s, ${bytesMoved} bytes`)
  const deep = await verifyAll(log, copies, true)
  const judged = [
    ...judge(
      planted.filter((fault) => !fault.deep),
      shallow,
      copies,
    ),
    ...judge(
      planted.filter((fault) => fault.deep),
      deep,
      copies,
    ),
  ]
  const alarms = new Set([...alarmsOf(planted, shallow, copies), ...alarmsOf(planted, deep, copies)])
  say('verified by stored values')

  let mended = 0
  for (const [at, copy] of copies.entries()) {
    const report = await repair(log, copy.sink, deep[at]!, { foreign: 'remove', keysPerSecond: 100_000 })
    mended += report.mended
  }
  say(`${mended} keys mended`)
  const after = await verifyAll(log, copies, true)
  say('verified by stored values again')
  const remaining = after.reduce((sum, { differences }) => sum + differences.length, 0)
  await live.stop()

  const touchedOther = await touched(copies, before, planted)
  await Promise.all(copies.map((copy) => copy.close()))
  return {
    keys,
    planted: planted.length,
    found: judged.filter((verdict) => verdict !== undefined).length,
    wrongVerdicts: judged.filter((verdict) => verdict === false).length,
    falseAlarms: alarms.size,
    mended: mended - remaining,
    touchedOther,
    bytesMoved,
    verifySeconds,
    seconds: secondsSince(began),
    peakMegabytes: Math.round(process.resourceUsage().maxRSS / 1_024),
  }
}

/** Faults in turn of every kind, in each copy in turn, at keys that nobody else writes. */
async function plant(log: Log, items: Collection<Item>, copies: readonly Copy[]): Promise<Fault[]> {
  const planted: Fault[] = []
  const updates: (() => Promise<unknown>)[] = []
  for (let at = 0; at < faults; at++) {
    const copy = copies[at % copies.length]!
    const key = `item-${Math.floor((at * keys) / Math.max(1, faults))}`
    const add = (verdict: string, plantIt: () => Promise<void>, deep = false, name = key): void =>
      void planted.push({ copy, key: name, verdict, deep, plant: plantIt })
    switch (Math.floor(at / copies.length) % 6) {
      case 0:
        add('missing', () => copy.lose(key))
        break
      case 1: {
        const saved = await copy.save(key)
        updates.push(() => log.append(items.put({ id: key, count: 2 })))
        add('stale', () => saved.putBack())
        break
      }
      case 2:
        add('corrupt', () => copy.corrupt(key))
        break
      case 3: {
        const saved = await copy.save(key)
        updates.push(() => log.append(items.delete(key)))
        add('stale', () => saved.putBack())
        break
      }
      case 4:
        add('foreign', () => copy.invent(`stranger-${at}`, key), false, `stranger-${at}`)
        break
      default:
        add('corrupt', () => copy.tamper(key), true)
    }
  }
  await inPages(updates, (some) => Promise.all(some.map((update) => update())))
  await caughtUp(log, copies)
  for (let from = 0; from < planted.length; from += 16) {
    await Promise.all(planted.slice(from, from + 16).map((fault) => fault.plant()))
  }
  return planted
}

async function verifyAll(log: Log, copies: readonly Copy[], deep: boolean): Promise<VerifyReport[]> {
  const reports: VerifyReport[] = []
  for (const { name, sink } of copies) {
    reports.push(await verify(log, sink, { group: name, deep, listed: 10_000_000, timeoutMs: 60_000 }))
  }
  return reports
}

/** For each fault whether the verdict over it is right; undefined where there is none. */
function judge(
  planted: readonly Fault[],
  reports: readonly VerifyReport[],
  copies: readonly Copy[],
): (boolean | undefined)[] {
  const verdicts = copies.map(
    (_, at) => new Map(reports[at]!.differences.map(({ key, verdict }) => [key, verdict])),
  )
  return planted.map(({ copy, key, verdict }) => {
    const given = verdicts[copies.indexOf(copy)]!.get(key)
    return given === undefined ? undefined : given === verdict
  })
}

function alarmsOf(
  planted: readonly Fault[],
  reports: readonly VerifyReport[],
  copies: readonly Copy[],
): string[] {
  return copies.flatMap(({ name }, at) => {
    const known = new Set(planted.filter(({ copy }) => copy.name === name).map(({ key }) => key))
    return reports[at]!.differences.filter(({ key, verdict }) => verdict !== 'behind' && !known.has(key)).map(
      ({ key }) => `${name} ${key}`,
    )
  })
}

/** Rows that are other than before, and that neither a fault nor the log has changed. */
async function touched(
  copies: readonly Copy[],
  before: readonly Map<string, string>[],
  planted: readonly Fault[],
): Promise<number> {
  const own = new Set(planted.map(({ key }) => key))
  let count = 0
  for (const [at, copy] of copies.entries()) {
    const after = await copy.dump()
    for (const [key, row] of before[at]!) if (!own.has(key) && after.get(key) !== row) count++
    for (const key of after.keys()) if (!before[at]!.has(key) && !key.startsWith('live-')) count++
  }
  return count
}

async function caughtUp(log: Log, copies: readonly Copy[]): Promise<void> {
  const ends = await Promise.all(Array.from({ length: log.partitions }, (_, partition) => log.end(partition)))
  const waits = ends
    .filter((end) => !end.endsWith('-0'))
    .flatMap((end) => copies.map(({ name }) => log.whenApplied(end, { group: name, timeoutMs: 3_600_000 })))
  await Promise.all(waits)
}

async function inPages<T>(
  items: readonly T[],
  work: (some: readonly T[]) => Promise<unknown>,
): Promise<void> {
  for (let from = 0; from < items.length; from += 5_000) await work(items.slice(from, from + 5_000))
}

function secondsSince(began: number): number {
  return Math.round(performance.now() - began) / 1_000
}

function say(what: string): void {
  process.stderr.write(`${Math.round(performance.now() / 1_000)} s: ${what}\n`)
}
