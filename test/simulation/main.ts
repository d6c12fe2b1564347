import { parseArgs } from 'node:util'
import { createHasher } from '../../packages/core/src/change/content-hash.ts'
import { lead } from './life.ts'
import { planOf } from './plan.ts'

// Simulated lives, one after the other, for so many seconds; the last line tells what they came to.
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '30' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000_000)) },
    lives: { type: 'string' },
    'until-failed': { type: 'boolean', default: false },
    trace: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
const [seconds, firstSeed] = [Number(values.seconds), Number(values.seed)]
const lives = values.lives === undefined ? Number.POSITIVE_INFINITY : Number(values.lives)
if (![seconds, firstSeed, lives].every((number) => number >= 0))
  throw new Error('--seconds, --seed and --lives take a number.')

const hasher = await createHasher(0n)
const trace = values.trace ? (line: string) => process.stdout.write(`${line}\n`) : undefined
const beganAt = performance.now()
const cpuBefore = process.cpuUsage()
const failed: number[] = []
const events: Record<string, number> = {}
let [count, steps, simulatedMs, slowestMs, troubles] = [0, 0, 0, 0, 0]
while (count < lives && (lives < Number.POSITIVE_INFINITY || performance.now() - beganAt < seconds * 1_000)) {
  const report = await lead(planOf(firstSeed + count), { hasher, ...(trace && { trace }) })
  count++
  steps += report.steps
  simulatedMs += report.tookMs
  troubles += report.troubles
  slowestMs = Math.max(slowestMs, report.recoveryMs)
  for (const [kind, times] of Object.entries(report.events)) events[kind] = (events[kind] ?? 0) + times
  if (report.breaches.length > 0) {
    failed.push(report.seed)
    process.stderr.write(`seed ${report.seed}: ${report.breaches.slice(0, 5).join('\n  ')}\n`)
    process.stderr.write(`  again: pnpm test:simulation --seed ${report.seed} --lives 1 --trace\n`)
  }
  if (values['until-failed'] && failed.length > 0) break
  // Between lives the process may do what else it has to.
  await new Promise((resolve) => setImmediate(resolve))
}
const took = (performance.now() - beganAt) / 1_000
const { user, system } = process.cpuUsage(cpuBefore)
const computed = (user + system) / 1_000_000
const total = {
  lives: count,
  failed: failed.slice(0, 20),
  livesPerSecond: Math.round(count / took),
  stepsPerSecond: Math.round(steps / took),
  // The machine may have other things to do.
  livesPerCpuSecond: Math.round(count / computed),
  stepsPerCpuSecond: Math.round(steps / computed),
  simulatedSeconds: Math.round(simulatedMs / 1_000),
  troubles,
  slowestRecoveryMs: Math.round(slowestMs),
  events,
  seed: firstSeed,
}
process.stdout.write(`${JSON.stringify(total, null, values.json ? 0 : 2)}\n`)
process.exit(failed.length === 0 ? 0 : 1)
