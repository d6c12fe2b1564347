import { connect, nodeSets, syncRound, type RoundProgress, type RoundReport } from '@headwater/core'
import { CliError } from '../cli-error.ts'
import type { Invocation } from '../invocation.ts'
import { bytes, count, duration, printable } from '../output.ts'
import { configOf, settingsOf } from '../settings.ts'

/** Brings the nodes of a set together: one round. */
export async function sync({ options, output }: Invocation, set: string): Promise<void> {
  const config = await configOf(options)
  if (!config)
    throw new CliError('USAGE', 'Which nodes? Give --config, or call this where a headwater.config.ts is.')
  const nodesOf = config.nodeSets?.[set]
  if (!nodesOf) {
    const known = Object.keys(config.nodeSets ?? {}).join(', ') || 'none'
    throw new CliError('USAGE', `The config file has no node set ${JSON.stringify(set)}; it has ${known}.`)
  }
  const { redis, namespace } = await settingsOf(options, config)
  const { deadlineMs, attemptMs } = config
  await using log = await connect(redis, {
    namespace,
    collections: [nodeSets],
    deadlineMs,
    attemptMs,
    create: false,
  })
  const quorums = await log.get(nodeSets, set)
  if (!quorums) {
    const example = JSON.stringify({ name: set, weights: { 'node name': 1 }, read: 1, write: 1 })
    throw new CliError(
      'USAGE',
      `The log has no weights for ${JSON.stringify(set)}. Put them there: headwater append node-sets '${example}' --key name --create`,
    )
  }
  const began = performance.now()
  const steps = new Map<string, RoundProgress>()
  const report = await syncRound(await nodesOf(), {
    quorums: quorums.value,
    onProgress(progress) {
      steps.set(progress.step, progress)
      const { done, total } = progress
      const share = total === 0 ? undefined : done / total
      output.progress(() => lineOf(progress, (performance.now() - began) / 1_000), share)
    },
  })
  const seconds = Math.round(performance.now() - began) / 1_000
  process.exitCode = exitCodeOf(report)
  const weights = quorums.version
  await output.result({ set, weights, ...report, steps: [...steps.values()], seconds }, () =>
    [...[...steps.values()].map((step) => lineOf(step)), ...summaryOf(report, seconds)].join('\n'),
  )
}

/** 0 when every reachable key is acknowledged, 1 when some are open, 2 when too few nodes answered. */
function exitCodeOf({ quorum, open }: RoundReport): 0 | 1 | 2 {
  if (!quorum) return 2
  return open.length > 0 ? 1 : 0
}

/** @param elapsed seconds since the round began; undefined when it is over */
function lineOf({ step, done, total, bytes: moved }: RoundProgress, elapsed?: number): string {
  const what = step === 'acquire' ? 'nodes' : 'keys'
  const size = moved > 0 ? `, ${bytes(moved)}` : ''
  const isGoing = elapsed !== undefined && done > 0 && done < total
  const left = isGoing ? `, ${duration((elapsed / done) * (total - done))} left` : ''
  return `${step.padEnd(12)}${count(done)} of ${count(total)} ${what}${size}${left}`
}

function summaryOf(
  { different, acknowledged, open, written, unreachable, quorum }: RoundReport,
  seconds: number,
): string[] {
  const lines = [
    `${count(different)} keys differed, ${count(acknowledged)} are acknowledged, ${count(written)} rows written (${duration(seconds)})`,
  ]
  if (unreachable.length > 0)
    lines.push(`not reached, for the next round: ${unreachable.map(printable).join(', ')}`)
  if (!quorum) lines.push('too few nodes answered for a read quorum: nothing was elected')
  else if (open.length > 0) lines.push(`${count(open.length)} keys are open: run it again`)
  return lines
}
