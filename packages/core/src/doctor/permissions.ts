import type { Redis } from 'ioredis'
import { Findings, type Finding } from './finding.ts'

/** What an ACL user may be there for; docs/keys.md has the rules. */
export type Role = 'application' | 'producer' | 'viewer' | 'worker' | 'operator'

/** Stand for a key of the log and for one of its channels. */
const [key, channel] = ['<key>', '<channel>']

/** With arguments that it could have. */
type Call = readonly string[]

const withSubcommands: ReadonlySet<string> = new Set(['client', 'memory', 'pubsub', 'xgroup', 'xinfo'])

/** As rules of an ACL name it: `hget`, `client|setname`. */
export function commandName([command = '', subcommand]: Call): string {
  return withSubcommands.has(command) ? `${command}|${subcommand}` : command
}

const application: readonly Call[] = [
  ['info'],
  ['client', 'setname', 'headwater'],
  ['select', '0'],
  ['ping'],
  ['time'],
  ['evalsha', '0', '1', key],
  ['eval', 'return 1', '1', key],
  ['exists', key],
  ['get', key],
  ['hget', key, 'field'],
  ['hmget', key, 'field'],
  ['hgetall', key],
  ['hset', key, 'field', 'value'],
  ['hsetnx', key, 'field', 'value'],
  ['hdel', key, 'field'],
  ['hexists', key, 'field'],
  ['hkeys', key],
  ['hlen', key],
  ['hscan', key, '0'],
  ['unlink', key],
  ['memory', 'usage', key],
  ['bitfield', key, 'get', 'i64', '0'],
  ['xadd', key, '1-1', 'field', 'value'],
  ['xrange', key, '-', '+'],
  ['xrevrange', key, '+', '-'],
  ['xgroup', 'create', key, 'group', '0'],
  ['xgroup', 'destroy', key, 'group'],
  ['xpending', key, 'group'],
  ['wait', '0', '0'],
  ['pubsub', 'shardnumsub', channel],
  ['publish', channel, 'message'],
  ['spublish', channel, 'message'],
  ['subscribe', channel],
  ['unsubscribe', channel],
  ['ssubscribe', channel],
  ['sunsubscribe', channel],
]

const among = (names: string): readonly Call[] => {
  const wanted = new Set(names.split(' '))
  return application.filter((call) => wanted.has(commandName(call)))
}

/** Every command that a role calls, by itself or in a script. A worker and an operator need theirs beside what an application has. */
export const commandsOf: Readonly<Record<Role, readonly Call[]>> = {
  application,
  producer: among(
    'info client|setname select ping time evalsha eval exists hget hmget hgetall hset hdel hexists unlink bitfield xadd wait pubsub|shardnumsub publish spublish memory|usage',
  ),
  viewer: among(
    'info client|setname select ping time evalsha eval exists get hget hmget hgetall hexists hkeys hlen hscan xrange xrevrange xpending subscribe unsubscribe ssubscribe sunsubscribe memory|usage',
  ),
  worker: [
    ['xreadgroup', 'group', 'group', 'consumer', 'streams', key, '>'],
    ['xack', key, 'group', '1-1'],
    ['xinfo', 'groups', key],
    ['zadd', key, '1', 'member'],
    ['zrem', key, 'member'],
    ['zrange', key, '0', '1'],
    ['zrangebyscore', key, '0', '1'],
    ['zremrangebyscore', key, '0', '1'],
    ['xdel', key, '1-1'],
  ],
  operator: [
    ['xtrim', key, 'minid', '1-1'],
    ['zrangebyscore', key, '0', '1'],
    ['xdel', key, '1-1'],
    ['hincrby', key, 'field', '1'],
  ],
}

export interface CheckedUser {
  /** Default: the one that this program is connected as. */
  readonly user?: string | undefined
  readonly roles: readonly Role[]
  /** A key of the log, which is also the name of its channel. */
  readonly key: string
}

/**
 * Asks the server what it would let a user do, by `ACL DRYRUN`: nothing is executed. That needs Redis 7 and a user who may
 * ask; an administrator can ask for another user by name.
 */
export async function checkPermissions(
  node: Redis,
  { user, roles, key: of }: CheckedUser,
): Promise<Finding[]> {
  const findings = new Findings('permissions', user)
  const commands = [
    ...new Map(roles.flatMap((role) => commandsOf[role]).map((words) => [words.join(' '), words])).values(),
  ]
  try {
    const name = user ?? ((await node.call('ACL', 'WHOAMI')) as string)
    const denied: string[] = []
    for (const words of commands) {
      const [command = '', ...args] = words.map((word) => (word === key || word === channel ? of : word))
      const answer = String(await node.call('ACL', 'DRYRUN', name, command, ...args))
      if (answer !== 'OK') denied.push(answer)
    }
    if (denied.length === 0) findings.ok(`${name} may call what ${roles.join(' and ')} needs`)
    else
      findings.problem(
        `${name} lacks permissions: ${denied.join('; ')}.`,
        `Give it the rules that docs/keys.md lists for ${roles.join(' and ')}.`,
      )
  } catch (error) {
    if (!isNotAnswered(error)) throw error
    findings.unknown(
      `The server does not say what this user may do: ${error.message}`,
      'Ask as an administrator, for the user by name (`headwater doctor --user <name>`); it takes Redis 7.',
    )
  }
  return findings.all
}

/** Denied, unknown before Redis 7, or no such user. */
function isNotAnswered(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError'
}
