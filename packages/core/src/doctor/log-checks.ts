import type { PartitionStatus } from '../group/group-status.ts'
import { parseHeader } from '../log/header.ts'
import type { LogParts } from '../namespace/log-parts.ts'
import { persist } from '../redis/persist.ts'
import { HeadwaterError, isHeadwaterError } from '../errors/headwater-error.ts'
import { Findings, type Finding } from './finding.ts'

/** Whether every partition is there, and of this very log. */
export async function checkPartitions({
  connection,
  keys,
  metadata,
  deadlineMs,
}: LogParts): Promise<Finding[]> {
  const options = { doing: 'looking at the partitions', deadlineMs }
  const headers = await persist(connection, options, (client) =>
    Promise.all(keys.partitions.map(({ header }) => client.hgetall(header))),
  )
  const all = new Findings('partitions')
  const wrong: Finding[] = []
  for (const [partition, fields] of headers.entries()) {
    const findings = new Findings('partitions', `partition ${partition}`)
    const fault = faultOf(fields, metadata.lineage)
    if (fault)
      findings.problem(
        fault,
        'Restore the log from a copy, or make it anew under another namespace; see docs/guarantees.md.',
      )
    wrong.push(...findings.all)
  }
  if (wrong.length === 0) all.ok(`all ${headers.length} are there`)
  return [...all.all, ...wrong]
}

function faultOf(fields: Readonly<Record<string, string>>, lineage: string): string | undefined {
  try {
    if (!parseHeader(fields)) return 'Its header is gone, so nothing can be appended or read.'
  } catch (error) {
    if (isHeadwaterError(error)) return error.message
    throw error
  }
  return fields['lineage'] === lineage ? undefined : 'It belongs to another log of the same name.'
}

/** Whether the groups work: each has its workers, and stands still nowhere. */
export function checkGroups(statuses: readonly PartitionStatus[]): Finding[] {
  const names = [...new Set(statuses.map(({ group }) => group))]
  return names.flatMap((group) =>
    checkGroup(
      group,
      statuses.filter((status) => status.group === group),
    ),
  )
}

function checkGroup(group: string, partitions: readonly PartitionStatus[]): Finding[] {
  const findings = new Findings('groups', group)
  for (const { partition, damage, standstill } of partitions) {
    if (damage !== undefined)
      findings.problem(
        `Partition ${partition} stands still: ${damage}`,
        'Its changes cannot be had from the log any more: rebuild the copy from the state.',
      )
    if (standstill !== undefined)
      findings.problem(`Partition ${partition} stands still: ${standstill}`, 'See `headwater parked list`.')
  }
  const lag = partitions.reduce((sum, status) => sum + status.lag, 0)
  const orphans = partitions.filter((status) => status.owner === undefined && status.lag > 0)
  if (orphans.length > 0) {
    findings.problem(
      `Nobody works on ${orphans.length} of ${partitions.length} partitions, in which ${orphans.reduce((sum, status) => sum + status.lag, 0)} changes wait.`,
      `Start a worker for ${group}, or retire the group: until then it holds the log back.`,
    )
  }
  const parked = partitions.reduce((sum, status) => sum + status.parked, 0)
  if (parked > 0) findings.warning(`${parked} keys are parked.`, 'See `headwater parked list`.')
  const different = partitions.filter(({ proof }) => proof.latest === 'different')
  if (different.length > 0) {
    findings.problem(
      `At the last marker the copy differed from the log in ${different.length} of ${partitions.length} partitions.`,
      `See \`headwater diff ${group}\`, then \`headwater repair ${group}\`.`,
    )
  }
  if (findings.all.length === 0) findings.ok(`${partitions.length} partitions, ${lag} changes behind`)
  return findings.all
}

/** Opening a sink would take it away from its worker: it is only looked at. */
export async function checkSink(
  group: string,
  sink: { readonly name: string; check?(): Promise<void> },
): Promise<Finding[]> {
  const findings = new Findings('sinks', group)
  if (!sink.check) {
    findings.unknown(`${sink.name} cannot be looked at without opening it.`, 'Give its adapter a `check`.')
    return findings.all
  }
  try {
    await sink.check()
    findings.ok(sink.name)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    findings.problem(message, remedyOf(error))
  }
  return findings.all
}

function remedyOf(error: unknown): string {
  if (error instanceof HeadwaterError && error.code === 'SINK_MISCONFIGURED')
    return 'Do what the message says, then start the worker again.'
  return 'Its worker goes on trying and loses nothing; bring the target back.'
}
