// One life in a process of its own: its only argument says which. Writes what it came to as one line of JSON.
import { startPostgres } from '@headwater/local-servers'
import { live, type LifeOptions } from './life.ts'
import type { LifeReport } from './life-report.ts'

const options = JSON.parse(process.argv[2]!) as Omit<LifeOptions, 'postgres'>
const startedAt = performance.now()
await using postgres = await startPostgres({ own: true })
const { breaches, counts, deeds, recoveries, events } = await live({
  ...options,
  postgres,
  onProgress: (what) => process.stderr.write(`${Math.round(performance.now() - startedAt)} ms: ${what}\n`),
})
const report: LifeReport = {
  kind: options.kind,
  seed: options.seed,
  seconds: Math.round((performance.now() - startedAt) / 1_000),
  breaches,
  counts,
  deeds,
  recoveries,
  fenced: events.filter(({ kind }) => kind === 'lost').length,
  losses: events.filter(({ kind }) => kind === 'history-lost').length,
}
process.stdout.write(`${JSON.stringify(report)}\n`)
