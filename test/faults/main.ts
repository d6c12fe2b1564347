import { spawn } from 'node:child_process'
import { appendFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { kinds, type LifeKind } from './life.ts'
import type { LifeReport } from './life-report.ts'
import { isSound, totalOf } from './total.ts'

// Lives of every kind, one after the other, for so many minutes; the last line tells what they came to.
const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
    kind: { type: 'string' },
    parallel: { type: 'string', default: '2' },
    faults: { type: 'string', default: '30' },
    pace: { type: 'string', default: '1500-4000' },
    lanes: { type: 'string', default: '12' },
    lease: { type: 'string', default: '1000' },
    only: { type: 'string' },
    report: { type: 'string' },
    verbose: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
const [minutes, firstSeed, parallel, faults, lanes] = [
  values.minutes,
  values.seed,
  values.parallel,
  values.faults,
  values.lanes,
].map(Number) as [number, number, number, number, number]
const pace = values.pace.split('-').map(Number)
const numbers = [minutes, firstSeed, parallel, faults, lanes, ...pace]
if (numbers.some((number) => !(number >= 0)) || pace.length !== 2 || parallel < 1) {
  throw new Error('--minutes, --seed, --parallel, --faults and --lanes take a number, --pace two: 1500-4000.')
}
if (values.kind !== undefined && !kinds.includes(values.kind as LifeKind)) {
  throw new Error(`--kind ${values.kind} must be one of ${kinds.join(', ')}.`)
}

const endsAt = performance.now() + minutes * 60_000
const reports: LifeReport[] = []
const failed: string[] = []
let next = firstSeed
await Promise.all(Array.from({ length: parallel }, work))
const total = totalOf(reports, failed)
const lines = Object.entries(total).map(([name, value]) => `${name.padEnd(14)} ${String(value)}`)
process.stdout.write(values.json ? `${JSON.stringify(total)}\n` : `${lines.join('\n')}\n`)
process.exit(isSound(total) ? 0 : 1)

async function work(): Promise<void> {
  do {
    const seed = next++
    const kind = (values.kind as LifeKind | undefined) ?? kinds[seed % kinds.length]!
    const name = `${kind} ${seed}`
    try {
      const report = await lead(kind, seed)
      reports.push(report)
      if (values.report) appendFileSync(values.report, `${JSON.stringify(report)}\n`)
      tell(name, report)
    } catch (error) {
      failed.push(name)
      process.stderr.write(`${name}: ${(error as Error).message}\n`)
    }
  } while (performance.now() < endsAt)
}

function tell(name: string, { seconds, counts, breaches, recoveries, deeds, fenced }: LifeReport): void {
  const done = Object.values(deeds).reduce((sum, times) => sum + times, 0)
  process.stderr.write(
    `${name}: ${seconds} s, ${done} faults, ${JSON.stringify({ ...counts, fenced, breaches: breaches.length })}\n`,
  )
  for (const { kind, what } of breaches.slice(0, 20)) process.stderr.write(`  ${kind}: ${what}\n`)
  for (const { deed, tookMs, boundMs } of recoveries) {
    if (tookMs > boundMs)
      process.stderr.write(`  late: ${deed} took ${Math.round(tookMs)} of ${boundMs} ms\n`)
  }
  if (breaches.length > 0 || recoveries.some(({ tookMs, boundMs }) => tookMs > boundMs)) {
    const [kind, seed] = name.split(' ')
    const again = `--kind ${kind} --seed ${seed} --faults ${faults} --pace ${values.pace} --lanes ${lanes}`
    process.stderr.write(`  again: pnpm test:faults --minutes 0 --parallel 1 ${again}\n`)
  }
}

function lead(kind: LifeKind, seed: number): Promise<LifeReport> {
  const program = fileURLToPath(new URL('life-process.ts', import.meta.url))
  const options = JSON.stringify({
    kind,
    seed,
    faults,
    pace,
    lanes,
    leaseMs: Number(values.lease),
    only: values.only?.split('; '),
  })
  const child = spawn(
    process.execPath,
    ['--conditions=@headwater/source', '--import', 'tsx', program, options],
    { cwd: fileURLToPath(new URL('..', import.meta.url)), stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let [said, complained] = ['', '']
  if (values.verbose) child.stderr.pipe(process.stderr)
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complained += text))
  return new Promise((resolve, reject) => {
    child.on('exit', (code, signal) => {
      if (code === 0) resolve(JSON.parse(said) as LifeReport)
      else reject(new Error(`ended with ${signal ?? code}: ${complained.slice(-3_000)}`))
    })
  })
}
