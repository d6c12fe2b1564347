import { HeadwaterError } from '../errors/headwater-error.ts'
import { logParts, type LogParts } from '../namespace/log-parts.ts'
import type { Log } from '../namespace/log.ts'
import { onNodeOfKey } from '../redis/node-of-key.ts'
import { persist } from '../redis/persist.ts'
import type { AnySink } from '../sink/sink.ts'
import type { Finding, Severity } from './finding.ts'
import { checkGroups, checkPartitions, checkSink } from './log-checks.ts'
import { checkPermissions, type Role } from './permissions.ts'
import { checkServer, dangerIn } from './server-checks.ts'
import { serverFacts } from './server-facts.ts'

export interface DiagnoseOptions {
  /** Sinks to look at, by their groups. Default none. */
  readonly sinks?: Readonly<Record<string, AnySink>>
  /** Whose permissions to look at: of the ACL user of this name. Default: of the one that this program is connected as. */
  readonly user?: string
  /** What that user is for. Default `application`, `worker` and `operator`: everything. */
  readonly roles?: readonly Role[]
}

export interface Diagnosis {
  /** The worst of the findings. */
  readonly severity: Severity
  readonly findings: readonly Finding[]
}

const bySeverity: readonly Severity[] = ['problem', 'warning', 'unknown', 'ok']

/**
 * Looks at everything that a log depends on, and changes nothing: servers, permissions, partitions, groups and sinks.
 *
 * @throws HeadwaterError REDIS_UNAVAILABLE; what is wrong with everything else is a finding
 */
export async function diagnose(log: Log, options: DiagnoseOptions = {}): Promise<Diagnosis> {
  const { sinks = {}, user, roles = ['application', 'worker', 'operator'] } = options
  const parts = logParts(log)
  const { connection, metadata, keys, deadlineMs } = parts
  const servers = await serverFacts(connection, deadlineMs, 'with configuration')
  const key = keys.partitions[0]!.log
  const asking = { doing: 'asking what the user may do', deadlineMs }
  const found = [
    ...servers.flatMap((facts) => checkServer(facts, metadata)),
    ...(await persist(connection, asking, (client) =>
      onNodeOfKey(client, key, (node) => checkPermissions(node, { user, roles, key })),
    )),
    ...(await checkPartitions(parts)),
    ...checkGroups(await log.groups()),
    ...(await Promise.all(Object.entries(sinks).map(([group, sink]) => checkSink(group, sink)))).flat(),
  ]
  const findings = found.toSorted((a, b) => bySeverity.indexOf(a.severity) - bySeverity.indexOf(b.severity))
  return { severity: findings[0]?.severity ?? 'ok', findings }
}

/**
 * Refuses to work on a server that would lose what it was given. Where it does not tell about itself, nothing is refused.
 *
 * @throws HeadwaterError SERVER_UNSAFE
 */
export async function refuseUnsafeServer({ connection, metadata, deadlineMs }: LogParts): Promise<void> {
  for (const facts of await serverFacts(connection, deadlineMs)) {
    const danger = dangerIn(facts, metadata)
    if (danger)
      throw new HeadwaterError('SERVER_UNSAFE', `${facts.address}: ${danger.message} ${danger.remedy}`)
  }
}
