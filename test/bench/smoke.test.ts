import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { root } from '../../scripts/workspace-packages.ts'

const run = promisify(execFile)

/** What the last line of a benchmark says. */
interface Report {
  readonly ratios: Readonly<Record<string, number>>
  /** Peers whose server cannot be had here → why. */
  readonly missing?: Readonly<Record<string, string>>
}

describe('the benchmarks, with everything as small as it can be', () => {
  const folder = mkdtempSync(join(tmpdir(), 'headwater-bench-'))
  let report: Report
  let results: string

  beforeAll(async () => {
    const file = join(folder, 'RESULTS.md')
    const command = `--conditions=@headwater/source --import tsx bench/main.ts --all --json --scale 0.001 --rounds 1 --results ${file}`
    const { stdout } = await run('node', command.split(' '), { cwd: root, maxBuffer: 2 ** 26 })
    report = JSON.parse(stdout) as Report
    results = readFileSync(file, 'utf8')
  }, 180_000)

  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it('report every ratio, and why a peer has none', () => {
    const missing = Object.keys(report.missing ?? {})
    // Only NATS comes from a package of the system; everything else comes with the workspace.
    expect(['jetstream']).toEqual(expect.arrayContaining(missing))
    const reported = ratioNames.filter((name) => !missing.some((peer) => name.endsWith(`/${peer}`)))
    expect(Object.keys(report.ratios)).toEqual(reported)
  })

  it('measure something for each of them', () => {
    const unmeasured = Object.entries(report.ratios).filter(([, ratio]) => !(ratio > 0 && ratio < Infinity))
    expect(unmeasured).toEqual([])
  })

  it('write them down, with the curves of latency and growth', () => {
    for (const name of Object.keys(report.ratios)) expect(results).toContain(`| ${name} `)
    for (const chart of ['latency', 'growth-keys', 'growth-log', 'growth-pending', 'endurance']) {
      expect(results).toContain(`(charts/${chart}.svg)`)
      expect(readFileSync(join(folder, 'charts', `${chart}.svg`), 'utf8')).toMatch(/^<svg .*<\/svg>\n$/s)
    }
  })
})

const ratioNames = [
  'append-script/versions-100B/raw-xadd',
  'append-script/values-100B/raw-xadd',
  'append-script/versions-100B/naive-versions',
  'append-script/values-100B/naive-values',
  'append-script/versions-1KiB/raw-xadd',
  'append-script/values-1KiB/raw-xadd',
  'append-script/versions-1KiB/naive-versions',
  'append-script/values-1KiB/naive-values',
  'append-call/500-in-flight/raw-xadd',
  'append-call/500-in-flight/ioredis-pipeline',
  'append-call/64-in-flight/raw-xadd',
  'append-call/64-in-flight/ioredis-pipeline',
  'sync/flow/plain-loop',
  'sync/backlog/plain-loop',
  'sync/flow/pub-sub',
  'sync/flow/redis-replica',
  'sync/backlog/redis-replica',
  'sync/flow/raw-xadd',
  'sync/flow/ioredis-pipeline',
  'peers/flow/bullmq',
  'peers/backlog/bullmq',
  'peers/flow/jetstream',
  'peers/backlog/jetstream',
  'peers/flow/moleculer-channels',
  'peers/backlog/moleculer-channels',
  'peers/flow/pg-boss',
  'peers/backlog/pg-boss',
  'peers/flow/emmett',
  'peers/backlog/emmett',
  'latency/p50-at-1000-per-second/plain-loop',
  'latency/p99-at-1000-per-second/plain-loop',
  'latency/p50-at-10000-per-second/plain-loop',
  'latency/p99-at-10000-per-second/plain-loop',
  'feed/p50-at-500-per-second/pub-sub',
  'feed/p99-at-500-per-second/pub-sub',
  'feed/p50-at-5000-per-second/pub-sub',
  'feed/p99-at-5000-per-second/pub-sub',
  'postgres/flow/upsert-loop',
  'postgres/flow/row-by-row',
  'growth-keys/append-at-100k/10k',
  'growth-keys/append-at-1m/10k',
  'growth-keys/append-at-3m/10k',
  'growth-log/append-at-1m/100k',
  'growth-log/append-at-10m/100k',
  'growth-log/read-at-1m/100k',
  'growth-log/read-at-10m/100k',
  'growth-partitions/append-at-8/1',
  'growth-partitions/append-at-64/1',
  'growth-pending/takeover-at-10k/1k',
  'growth-pending/takeover-at-100k/1k',
  'growth-pending/takeover-at-1m/1k',
  'growth-pending/status-at-10k/1k',
  'growth-pending/status-at-100k/1k',
  'growth-pending/status-at-1m/1k',
  'growth-nodes/two/one',
  'memory/log/payload',
  'memory/state-of-a-key/100-bytes',
  'memory/worker/150-megabytes',
  'endurance/last-quarter/second-quarter',
  'worker-cpu/100B/json-parse',
  'worker-cpu/1KiB/json-parse',
  'telemetry/append-without-sdk/unobserved',
  'telemetry/worker-without-sdk/unobserved',
]
