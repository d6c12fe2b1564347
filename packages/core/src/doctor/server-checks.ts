import { replicasRequired } from '../namespace/durability.ts'
import type { NamespaceMetadata } from '../namespace/metadata.ts'
import { Findings, type Finding } from './finding.ts'
import type { ServerFacts } from './server-facts.ts'

const allowInfo = 'Allow the user `+info`: without it a failover is not noticed either.'

/** Shares of the memory limit from which there is little room, and nearly none. */
const memoryShare = { little: 0.8, none: 0.95 }
/** Of the machine's memory, where the server has no limit of its own. */
const machineShare = 0.75
const replicaLagSecondsMax = 10
const clockMsMax = 1_000

/** What a server is like, against what a log needs. Pure: it is told what the server said. */
export function checkServer(facts: ServerFacts, metadata: NamespaceMetadata): Finding[] {
  const { address, info } = facts
  if (info.size === 0) {
    const unknown = new Findings('server', address)
    unknown.unknown('The server does not tell this user about itself.', allowInfo)
    return [...unknown.all, ...clock(facts)]
  }
  return [
    ...version(facts),
    ...role(facts),
    ...persistence(facts, metadata),
    ...eviction(facts),
    ...memory(facts),
    ...replicas(facts, metadata),
    ...cluster(facts),
    ...clock(facts),
  ]
}

/** Why a worker had better not begin here: changes would vanish that nobody deleted. A role may change, so it is no reason. */
export function dangerIn(facts: ServerFacts, metadata: NamespaceMetadata): Finding | undefined {
  if (facts.info.size === 0) return undefined
  return [...eviction(facts), ...persistence(facts, metadata)].find(({ severity }) => severity === 'problem')
}

function version({ address, info }: ServerFacts): Finding[] {
  const findings = new Findings('version', address)
  const valkey = info.get('valkey_version')
  const text = valkey ?? info.get('redis_version') ?? ''
  const name = `${valkey === undefined ? 'Redis' : 'Valkey'} ${text}`
  const [major = 0, minor = 0] = text.split('.').map(Number)
  if (major < 6 || (major === 6 && minor < 2)) {
    findings.problem(`${name} is too old.`, 'Use Redis 6.2 or later, or Valkey.')
  } else if (major < 7) {
    findings.warning(
      `${name} has no sharded publish/subscribe: the live feed is told only that the log has grown, and reads it.`,
      'Redis 7 or Valkey makes feeds faster; nothing is lost without.',
    )
  } else findings.ok(name)
  return findings.all
}

function role({ address, info }: ServerFacts): Finding[] {
  const findings = new Findings('role', address)
  if (info.get('loading') === '1')
    findings.problem('The server is still loading its data.', 'Wait until it has.')
  if (info.get('role') === 'master') findings.ok('a master')
  else
    findings.problem(
      'This server is a replica, which takes no changes.',
      'Give the address of the master, or of Sentinels or the Cluster, which tell it.',
    )
  return findings.all
}

function persistence(
  { address, info, loadsTruncated, flushes }: ServerFacts,
  { durability }: NamespaceMetadata,
): Finding[] {
  const findings = new Findings('persistence', address)
  const hasFile = info.get('aof_enabled') === '1'
  if (durability !== 'memory' && !hasFile) {
    findings.problem(
      `The log declares durability "${durability}", but the server keeps no append-only file.`,
      'Set `appendonly yes` in its configuration.',
    )
  } else if (!hasFile) {
    findings.warning(
      'The server keeps no append-only file: a restart loses what was appended since its last snapshot, as durability "memory" allows.',
      'Set `appendonly yes` when that is too much to lose.',
    )
  } else findings.ok('append-only file')
  if (hasFile && loadsTruncated) {
    findings.warning(
      '`aof-load-truncated yes`: after a crash the server starts also with an append-only file that ends in the middle of a transaction, and executes that half of it when it is started once more. The log would then hold half a batch.',
      'Set `aof-load-truncated no`, and run `redis-check-aof --fix` when the server does not start for that reason.',
    )
  }
  if (hasFile && durability === 'disk' && flushes !== undefined && flushes !== 'always') {
    findings.warning(
      `The log declares durability "disk", and the server has \`appendfsync ${flushes}\`: it answers before its file is written while the disk is busy, and before it is flushed. A crash, or power loss, can cost the last seconds of acknowledged appends.`,
      'Set `appendfsync always` where that is too much to lose.',
    )
  }
  if (hasFile && info.get('aof_last_write_status') === 'err') {
    findings.problem(
      'The last write of the append-only file failed, so the server refuses changes.',
      'Look into the log of the server: most often its disk is full.',
    )
  }
  if (info.get('aof_last_bgrewrite_status') === 'err' || info.get('rdb_last_bgsave_status') === 'err') {
    findings.warning(
      'The last snapshot or rewrite of the append-only file failed; the server may refuse changes until one succeeds.',
      'Look into the log of the server: memory to fork and room on its disk are the usual reasons.',
    )
  }
  return findings.all
}

function eviction({ address, info }: ServerFacts): Finding[] {
  const findings = new Findings('eviction', address)
  const policy = info.get('maxmemory_policy') ?? ''
  const remedy = 'Set `maxmemory-policy noeviction`: a full server must refuse changes, not forget some.'
  if (policy.startsWith('allkeys')) {
    findings.problem(`maxmemory-policy ${policy} removes keys of the log when memory is short.`, remedy)
  } else if (policy.startsWith('volatile')) {
    findings.warning(
      `maxmemory-policy ${policy} removes keys that expire. The log has none, but a Redis sink's values of yours may be among them.`,
      remedy,
    )
  } else findings.ok(policy || 'noeviction')
  return findings.all
}

function memory({ address, info }: ServerFacts): Finding[] {
  const findings = new Findings('memory', address)
  const used = Number(info.get('used_memory'))
  const limit = Number(info.get('maxmemory'))
  const machine = Number(info.get('total_system_memory'))
  const of = (bytes: number): string => `${mebibytes(used)} of ${mebibytes(bytes)} used`
  const remedy = 'Trim the log (`headwater trim`), retire groups that hold it back, or give the server more.'
  if (limit > 0) {
    if (used > memoryShare.none * limit)
      findings.problem(`${of(limit)}: appends are about to be refused.`, remedy)
    else if (used > memoryShare.little * limit) findings.warning(`${of(limit)}: little room is left.`, remedy)
    else findings.ok(of(limit))
  } else if (machine > 0 && used > machineShare * machine) {
    findings.warning(`${of(machine)}, and the server has no limit: the system may kill it.`, remedy)
  } else findings.ok(`${mebibytes(used)} used, no limit of its own`)
  return findings.all
}

function replicas({ address, info }: ServerFacts, { durability, replicas }: NamespaceMetadata): Finding[] {
  const findings = new Findings('replicas', address)
  const connected = [...info]
    .filter(([field]) => /^slave\d+$/.test(field))
    .map(([, text]) => new Map(text.split(',').map((pair) => pair.split('=') as [string, string])))
  const online = connected.filter((replica) => replica.get('state') === 'online')
  const required = replicasRequired(durability, replicas)
  const text = `${online.length} of ${replicas} declared replicas are connected`
  if (online.length < required) {
    findings.problem(
      `${text}; durability "${durability}" needs ${required}: appends are not acknowledged.`,
      'Bring the replicas back, or find out why they do not connect.',
    )
  } else if (online.length < replicas) {
    findings.warning(`${text}.`, 'Bring the missing ones back before another one fails.')
  } else findings.ok(text)
  for (const replica of online) {
    const lag = Number(replica.get('lag'))
    if (lag <= replicaLagSecondsMax) continue
    findings.warning(
      `The replica ${replica.get('ip')}:${replica.get('port')} was last heard of ${lag} s ago.`,
      'Look at its network and load: a failover to it would lose what it does not have.',
    )
  }
  return findings.all
}

function cluster({ address, cluster: of }: ServerFacts): Finding[] {
  if (!of) return []
  const findings = new Findings('cluster', address)
  const failing = Number(of.get('cluster_slots_fail') ?? 0) + Number(of.get('cluster_slots_pfail') ?? 0)
  if (of.size === 0) {
    findings.unknown('The node does not tell this user about its Cluster.', 'Allow it `+cluster|info`.')
  } else if (of.get('cluster_state') !== 'ok') {
    findings.problem(
      `The Cluster is in state "${of.get('cluster_state')}": ${of.get('cluster_slots_assigned')} of 16384 slots are assigned, ${failing} fail.`,
      'See `redis-cli --cluster check`: a slot without a living master stops its partitions.',
    )
  } else if (failing > 0) {
    findings.warning(
      `${failing} slots belong to nodes that do not answer.`,
      'See `redis-cli --cluster check`.',
    )
  } else findings.ok(`${of.get('cluster_known_nodes')} nodes`)
  return findings.all
}

function clock({ address, clock: { aheadMs, withinMs } }: ServerFacts): Finding[] {
  const findings = new Findings('clock', address)
  if (Math.abs(aheadMs) - withinMs > clockMsMax) {
    findings.warning(
      `The server's clock is ${Math.round(Math.abs(aheadMs) / 100) / 10} s ${aheadMs > 0 ? 'ahead of' : 'behind'} the one of this machine.`,
      'Set both by NTP. Nothing is lost: leases and times of changes go by the server alone. But ages shown here are wrong by that.',
    )
  } else findings.ok('as here')
  return findings.all
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1_048_576).toFixed(bytes < 10 * 1_048_576 ? 1 : 0)} MiB`
}
