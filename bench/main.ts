import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { appendCall } from './questions/append-call.ts'
import { appendScript } from './questions/append-script.ts'
import { endurance } from './questions/endurance.ts'
import { feed } from './questions/feed.ts'
import { growthKeys } from './questions/growth-keys.ts'
import { growthLog } from './questions/growth-log.ts'
import { growthNodes } from './questions/growth-nodes.ts'
import { growthPartitions } from './questions/growth-partitions.ts'
import { growthPending } from './questions/growth-pending.ts'
import { latency } from './questions/latency.ts'
import { memory } from './questions/memory.ts'
import { peersQuestion } from './questions/peers.ts'
import { postgres } from './questions/postgres.ts'
import { sync } from './questions/sync.ts'
import { telemetry } from './questions/telemetry.ts'
import { workerCpu } from './questions/worker-cpu.ts'
import { Progress } from './src/progress.ts'
import type { Bench, Question } from './src/question.ts'
import { medianRatios, ratioTable, writeResults, type Answered } from './src/results.ts'

/** In the order of RESULTS.md. */
const questions: readonly Question[] = [
  appendScript,
  appendCall,
  sync,
  peersQuestion,
  latency,
  feed,
  postgres,
  growthKeys,
  growthLog,
  growthPartitions,
  growthPending,
  growthNodes,
  memory,
  endurance,
  workerCpu,
  telemetry,
]
/** What `pnpm bench` asks without names. */
const usual = ['append', 'sync', 'peers', 'latency', 'postgres']
/** One name for several questions. */
const together: Readonly<Record<string, readonly string[]>> = {
  append: ['append-script', 'append-call'],
  growth: ['growth-keys', 'growth-log', 'growth-partitions', 'growth-pending', 'growth-nodes'],
}

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    /** Asks every question, the long ones too. */
    all: { type: 'boolean', default: false },
    /** Prints nothing to stdout but the JSON. */
    json: { type: 'boolean', default: false },
    /** How often each contender is measured. */
    rounds: { type: 'string', default: '5' },
    /** Below 1 everything is smaller, for trying out. */
    scale: { type: 'string', default: '1' },
    /** Where results are written. Default: RESULTS.md beside this file when the scale is 1, else nowhere. */
    results: { type: 'string' },
  },
})
const bench: Bench = {
  rounds: positive('rounds', options.rounds),
  scale: positive('scale', options.scale),
  progress: new Progress(),
}
const resultsFile =
  options.results ?? (bench.scale === 1 ? fileURLToPath(new URL('RESULTS.md', import.meta.url)) : undefined)

// Servers and processes end with this one, however it ends.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1))

const answered: Answered[] = []
for (const question of chosenQuestions()) {
  bench.progress.begin(question.name)
  const answer = await question.answer(bench)
  answered.push({ question, answer })
  if (!options.json) console.log(`\n${question.name}: ${question.asks}\n${ratioTable(answer.ratios)}`)
  // After each question: a long run that is broken off keeps what it has.
  if (resultsFile !== undefined) writeResults(resultsFile, bench, questions, answered)
}
const missing = Object.assign({}, ...answered.map(({ answer }) => answer.missing)) as Record<string, string>
console.log(
  JSON.stringify({
    ratios: medianRatios(answered),
    ...(Object.keys(missing).length > 0 && { missing }),
  }),
)

function chosenQuestions(): readonly Question[] {
  if (options.all) return questions
  const names = (positionals.length > 0 ? positionals : usual).flatMap((name) => together[name] ?? [name])
  const known = questions.map(({ name }) => name)
  const unknown = names.filter((name) => !known.includes(name))
  if (unknown.length > 0)
    throw new Error(
      `There is no question ${unknown.join(', ')}. There are ${[...Object.keys(together), ...known].join(', ')}.`,
    )
  return questions.filter(({ name }) => names.includes(name))
}

function positive(option: string, text: string): number {
  const value = Number(text)
  if (value > 0) return value
  throw new Error(`--${option} must be a number above 0, not ${text}.`)
}
