import type { RedisMember } from '@headwater/local-servers'
import { eventually } from '../../support/eventually.ts'
import { plainClient } from '../../support/plain-client.ts'
import type { Random } from '../../support/random.ts'
import { nodeTimeoutMs } from '../deployment/cluster.ts'
import { partOf } from '../deployment/whole.ts'
import { downAfterMs, type BehindSentinels } from '../deployment/sentinel.ts'
import type { World } from '../world.ts'
import { hold, type Deeds, type Failover } from './deed.ts'

/** After which time a new master must be there, from the fault on. */
const bounds = { sentinel: downAfterMs + 3_000, cluster: 2 * nodeTimeoutMs + 2_000 }

export const failoverDeeds: Deeds = {
  'kill a master': {
    on: ['sentinel', 'cluster'],
    async run(world, random) {
      const index = await someMaster(world, random)
      const startedAt = performance.now()
      await world.deployment.servers[index]!.kill('SIGKILL')
      world.deployment.roll.died(index)
      return await successor(world, index, startedAt)
    },
  },
  'stop a master until another takes its place': {
    on: ['sentinel', 'cluster'],
    async run(world, random) {
      const index = await someMaster(world, random)
      const server = world.deployment.servers[index]!
      const startedAt = performance.now()
      await server.kill('SIGSTOP')
      try {
        return await successor(world, index, startedAt)
      } finally {
        // It goes on as the master that it believes to be, until somebody tells it.
        await server.kill('SIGCONT')
      }
    },
  },
  'kill a replica': {
    on: ['sentinel', 'cluster'],
    async run({ deployment }, random) {
      const masters = await deployment.masters()
      const replicas = deployment.servers.flatMap((_, index) => (masters.includes(index) ? [] : [index]))
      const index = random.pick(replicas)
      await deployment.servers[index]!.kill('SIGKILL')
      await hold(random, 100, 1_000)
      deployment.roll.died(index)
    },
  },
  'cut the links of the replicas': {
    on: ['sentinel', 'cluster'],
    async run(world, random) {
      for (let times = random.between(1, 4); times > 0; times--) {
        for (const index of await world.deployment.masters())
          await on(world, index, (client) => client.call('CLIENT', 'KILL', 'TYPE', 'replica'))
        await hold(random, 50, 300)
      }
    },
  },
  'ask the Sentinels for a failover': {
    on: ['sentinel'],
    async run(world, random) {
      const index = await someMaster(world, random)
      const startedAt = performance.now()
      await askForFailover(world)
      return await successor(world, index, startedAt)
    },
  },
  'two failovers, one after the other': {
    on: ['sentinel'],
    async run(world, random) {
      for (let times = 2; times > 0; times--) {
        const index = await someMaster(world, random)
        await askForFailover(world)
        await successor(world, index, performance.now())
      }
    },
  },
  'hand over to a replica': {
    on: ['sentinel'],
    async run(world, random) {
      const index = await someMaster(world, random)
      const { set } = world.deployment as BehindSentinels
      const heir = random.pick(set.servers.filter((_, other) => other !== index))
      const startedAt = performance.now()
      await on(world, index, (client) =>
        client.call('FAILOVER', 'TO', heir.host, heir.port, 'TIMEOUT', 1_000),
      )
      return await successor(world, index, startedAt)
    },
  },
  'kill a Sentinel': {
    on: ['sentinel'],
    async run({ deployment }, random) {
      const sentinel = random.pick((deployment as BehindSentinels).set.sentinels)
      await sentinel.kill('SIGKILL')
      await hold(random, 100, 1_000)
      await sentinel.restart()
    },
  },
  'make a replica the master': {
    on: ['cluster'],
    async run(world, random) {
      const index = await someMaster(world, random)
      const replica = await replicaOf(world, index)
      const startedAt = performance.now()
      const how = random.pick([[], ['FORCE'], ['TAKEOVER']] as const)
      await on(world, replica, (client) => client.call('CLUSTER', 'FAILOVER', ...how))
      return await successor(world, index, startedAt)
    },
  },
}

async function someMaster({ deployment }: World, random: Random): Promise<number> {
  return random.pick(await deployment.masters())
}

async function on(
  { deployment }: World,
  index: number,
  use: (client: ReturnType<typeof plainClient>) => Promise<unknown>,
): Promise<void> {
  await using client = plainClient(deployment.servers[index]!.options)
  client.on('error', () => {})
  await use(client)
}

async function askForFailover({ deployment }: World): Promise<void> {
  const [sentinel] = (deployment as BehindSentinels).set.sentinels as [RedisMember]
  await using client = plainClient(sentinel.options)
  // Refused for a while after the failover before.
  await eventually(() => client.call('SENTINEL', 'FAILOVER', 'local'), { timeoutMs: 30_000, everyMs: 100 })
}

async function replicaOf({ deployment }: World, master: number): Promise<number> {
  const { port } = deployment.servers[master]!
  for (const [index, { options }] of deployment.servers.entries()) {
    await using client = plainClient(options)
    const text = await client.info('replication')
    if (text.includes(`master_port:${port}\r`)) return index
  }
  throw new Error(`No replica follows the master at port ${port}.`)
}

/** Waits until as many masters as there should be run without this one. */
async function successor({ deployment }: World, former: number, startedAt: number): Promise<Failover> {
  const wanted = deployment.name === 'cluster' ? 3 : 1
  await eventually(
    async () => {
      const parts = await Promise.all(
        deployment.servers
          .filter((_, index) => index !== former)
          .map((server) => partOf(server).catch(() => undefined)),
      )
      const others = parts.filter((part) => part?.isMaster).length
      if (others < wanted) throw new Error('No other master yet.')
    },
    { timeoutMs: 60_000, everyMs: 20 },
  )
  const boundMs = bounds[deployment.name as keyof typeof bounds]
  return { tookMs: performance.now() - startedAt, boundMs }
}
