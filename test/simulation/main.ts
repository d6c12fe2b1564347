import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { Worker } from 'node:worker_threads'
import { build } from 'esbuild'
import type { Scope } from './plan.ts'
import { addTally, emptyTally, type Tally } from './tally.ts'
import type { Task, Told } from './thread.ts'

// Simulated lives for so many seconds, small ones in the first half of the time and large ones in the second, on all cores;
// the last line tells what they came to.
const { values } = parseArgs({
  options: {
    scope: { type: 'string' },
    seconds: { type: 'string', default: '30' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000_000)) },
    lives: { type: 'string' },
    threads: { type: 'string', default: String(availableParallelism()) },
    'until-failed': { type: 'boolean', default: false },
    trace: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
const scopes = (['small', 'large'] as const).filter((scope) => scope === (values.scope ?? scope))
if (scopes.length === 0) throw new Error(`--scope is small or large, not ${values.scope}.`)
const lives = values.lives === undefined ? Number.POSITIVE_INFINITY : Number(values.lives)
const [seconds, seed, threads] = [Number(values.seconds), Number(values.seed), Number(values.threads)]
if (![seconds, seed, lives].every((number) => number >= 0) || !(threads >= 1))
  throw new Error('--seconds, --seed, --lives and --threads take a number.')

// Of the threads that are started from here on. V8 puts what is made where much survived straight among the old; here that is
// a life that ends in a millisecond, and whatever it holds would stay with it until all of the heap is looked through.
setFlagsFromString('--no-allocation-site-pretenuring')
// Every core has a thread of its own that leads lives: it need not share its own work out.
if (threads >= availableParallelism()) setFlagsFromString('--no-parallel-scavenge')

interface Totals extends Tally {
  /** Of all cores together. */
  livesPerSecond: number
  stepsPerSecond: number
  /** Of one core: the machine may have other things to do. */
  livesPerCpuSecond: number
  stepsPerCpuSecond: number
}

async function leadAll(program: URL, scope: Scope): Promise<Totals> {
  const count = Math.min(threads, lives)
  const total = emptyTally()
  const beganAt = performance.now()
  const cpuBefore = process.cpuUsage()
  const running: Worker[] = []
  await Promise.all(
    Array.from({ length: count }, (_, index) => {
      const task: Task = {
        scope,
        firstSeed: seed + index,
        stride: count,
        // A number of lives takes what time it takes.
        seconds: lives < Number.POSITIVE_INFINITY ? lives : seconds / scopes.length,
        lives: Math.ceil((lives - index) / count),
        untilFailed: values['until-failed'],
        trace: values.trace,
      }
      return new Promise<void>((resolve, reject) => {
        const worker = new Worker(program, { workerData: task })
        running.push(worker)
        worker.on('message', (told: Told) => {
          if ('line' in told) process.stdout.write(`${told.line}\n`)
          else if ('seed' in told) tellFailed(scope, told)
          else addTally(total, told.tally)
        })
        worker.on('error', reject)
        worker.on('exit', () => {
          // Whoever finds something ends it for all.
          if (values['until-failed'] && total.failed.length > 0)
            for (const other of running) void other.terminate()
          resolve()
        })
      })
    }),
  )
  const took = (performance.now() - beganAt) / 1_000
  const { user, system } = process.cpuUsage(cpuBefore)
  const computed = (user + system) / 1_000_000
  return {
    ...total,
    failed: total.failed.slice(0, 20),
    livesPerSecond: Math.round(total.lives / took),
    stepsPerSecond: Math.round(total.steps / took),
    livesPerCpuSecond: Math.round(total.lives / computed),
    stepsPerCpuSecond: Math.round(total.steps / computed),
    simulatedMs: Math.round(total.simulatedMs),
    slowestRecoveryMs: Math.round(total.slowestRecoveryMs),
  }
}

function tellFailed(scope: Scope, { seed: of, breaches }: Extract<Told, { seed: number }>): void {
  process.stderr.write(`${scope}, seed ${of}: ${breaches.slice(0, 5).join('\n  ')}\n`)
  process.stderr.write(`  again: pnpm test:simulation --scope ${scope} --seed ${of} --lives 1 --trace\n`)
}

const folder = await mkdtemp(join(tmpdir(), 'simulation-'))
try {
  // In one file, and without the names that a loader gives to each function anew: that alone makes it half as fast again.
  const outfile = join(folder, 'thread.mjs')
  await build({
    entryPoints: [fileURLToPath(new URL('thread.ts', import.meta.url))],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    conditions: ['@headwater/source'],
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
    logLevel: 'error',
  })
  const totals: Partial<Record<Scope, Totals>> = {}
  for (const scope of scopes) {
    totals[scope] = await leadAll(pathToFileURL(outfile), scope)
    if (values['until-failed'] && totals[scope].failed.length > 0) break
  }
  process.stdout.write(`${JSON.stringify({ seed, threads, ...totals }, null, values.json ? 0 : 2)}\n`)
  process.exitCode = Object.values(totals).some(({ failed }) => failed.length > 0) ? 1 : 0
} finally {
  await rm(folder, { recursive: true, force: true })
}
