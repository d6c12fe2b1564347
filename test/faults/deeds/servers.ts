import { plainClient } from '../../support/plain-client.ts'
import type { Random } from '../../support/random.ts'
import { groups, type World } from '../world.ts'
import { hold, type Deeds } from './deed.ts'

type Client = ReturnType<typeof plainClient>

/** Lends a client of each server that is a master now. */
async function onMasters(world: World, use: (client: Client) => Promise<unknown>): Promise<void> {
  for (const index of await world.deployment.masters()) await onServer(world, index, use)
}

async function onServer(
  { deployment }: World,
  index: number,
  use: (client: Client) => Promise<unknown>,
): Promise<void> {
  await using client = plainClient(deployment.servers[index]!.options)
  client.on('error', () => {})
  await use(client)
}

async function someMaster(world: World, random: Random): Promise<number> {
  return random.pick(await world.deployment.masters())
}

export const serverDeeds: Deeds = {
  'forget scripts': {
    run: async (world) => {
      await onMasters(world, (client) => client.script('FLUSH'))
      await world.cacheClient.script('FLUSH')
    },
  },
  'forget scripts again and again': {
    async run(world, random) {
      for (let times = random.between(5, 20); times > 0; times--) {
        await onMasters(world, (client) => client.script('FLUSH'))
        await hold(random, 10, 60)
      }
    },
  },
  'disconnect everybody': {
    run: (world) =>
      onMasters(world, (client) => client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')),
  },
  'pause writes': {
    async run(world, random) {
      const ms = random.between(200, 1_500)
      await onServer(world, await someMaster(world, random), (client) =>
        client.call('CLIENT', 'PAUSE', ms, 'WRITE'),
      )
      await hold(random, ms, ms)
    },
  },
  'pause everything': {
    async run(world, random) {
      const ms = random.between(200, 800)
      await onServer(world, await someMaster(world, random), (client) =>
        client.call('CLIENT', 'PAUSE', ms, 'ALL'),
      )
      await hold(random, ms, ms)
    },
  },
  'let a server sleep': {
    async run(world, random) {
      const seconds = random.between(1, 8) / 10
      await onServer(world, await someMaster(world, random), (client) =>
        client.call('DEBUG', 'SLEEP', seconds),
      )
    },
  },
  'stop a server for a while': {
    async run(world, random) {
      const server = world.deployment.servers[await someMaster(world, random)]!
      await server.kill('SIGSTOP')
      // Shorter than what makes others take it for dead.
      await hold(random, 100, 700)
      await server.kill('SIGCONT')
    },
  },
  'unblock readers with an error': {
    run: (world) =>
      onMasters(world, async (client) => {
        const list = (await client.client('LIST')) as string
        for (const [, id] of list.matchAll(/^id=(\d+) .* cmd=xreadgroup /gm))
          await client.call('CLIENT', 'UNBLOCK', id!, 'ERROR')
      }),
  },
  'kill the server': {
    on: ['single'],
    async run({ deployment }, random) {
      await deployment.servers[0]!.kill('SIGKILL')
      await hold(random, 0, 1_000)
      deployment.roll.died(0)
    },
  },
  'end the server': {
    on: ['single'],
    async run({ deployment }) {
      await deployment.servers[0]!.kill('SIGTERM')
      deployment.roll.died(0)
    },
  },
  'load the data anew': {
    on: ['single'],
    run: (world) => onMasters(world, (client) => client.call('DEBUG', 'RELOAD')),
  },
  'fill the memory': {
    async run(world, random) {
      const index = await someMaster(world, random)
      await onServer(world, index, (client) => client.config('SET', 'maxmemory', '1mb'))
      try {
        await hold(random, 300, 1_500)
      } finally {
        await onServer(world, index, (client) => client.config('SET', 'maxmemory', '0'))
      }
    },
  },
  'destroy groups': {
    async run(world, random) {
      const stream = `${world.prefix(random.below(world.log.partitions))}:log`
      for (const group of groups) await world.client.xgroup('DESTROY', stream, group)
    },
  },
  'steal entries': {
    async run(world) {
      for (const group of groups) {
        for (let partition = 0; partition < world.log.partitions; partition++) {
          const stream = `${world.prefix(partition)}:log`
          // As a former owner does whose read is answered late.
          await world.client
            .xreadgroup('GROUP', group, 'headwater', 'COUNT', 2, 'STREAMS', stream, '>')
            .catch(() => {
              // Its group was destroyed a moment ago.
            })
        }
      }
    },
  },
}
