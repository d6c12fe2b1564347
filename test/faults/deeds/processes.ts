import { eventually } from '../../support/eventually.ts'
import type { Random } from '../../support/random.ts'
import { groups, type World } from '../world.ts'
import type { Deeds } from './deed.ts'

export const processDeeds: Deeds = {
  'kill a worker': {
    async run(world, random) {
      await world.killWorker(random.pick(world.workers))
      await world.startWorker()
    },
  },
  'end a worker': {
    async run(world, random) {
      const worker = random.pick(world.workers)
      await world.retireWorker(worker)
      if (worker.exitCode !== 0)
        throw new Error(`A worker that was asked to end ended with ${worker.exitCode}: ${worker.complaints}`)
      await world.startWorker()
    },
  },
  'kill all workers': {
    async run(world) {
      for (const worker of world.workers) await world.killWorker(worker)
      await Promise.all([world.startWorker(), world.startWorker()])
    },
  },
  'add a worker, and kill another': {
    async run(world, random) {
      await world.startWorker()
      await world.killWorker(random.pick(world.workers))
    },
  },
  'stop a worker until others have its partitions': { run: stopWorker },
  'kill a writer': {
    async run(world) {
      await world.killChildWriter()
      await world.startChildWriter()
    },
  },
}

async function stopWorker(world: World, random: Random): Promise<void> {
  const worker = random.pick(world.workers)
  const tokens = async (): Promise<Map<string, number>> => {
    const entries = await Promise.all(
      groups.flatMap((group) =>
        Array.from({ length: world.log.partitions }, async (_, partition) => {
          const key = `${world.prefix(partition)}:group:${group}`
          return [key, Number(await world.client.hget(key, 'token'))] as const
        }),
      ),
    )
    return new Map(entries)
  }
  const held = new Set(
    worker.events.flatMap((event) =>
      event.kind === 'acquired' && 'group' in event
        ? [`${world.prefix(event.partition)}:group:${event.group}`]
        : [],
    ),
  )
  const before = await tokens()
  await worker.kill('SIGSTOP')
  try {
    await eventually(
      async () => {
        const after = await tokens()
        const taken = [...held].some((key) => after.get(key)! > before.get(key)!)
        if (held.size > 0 && !taken) throw new Error('Nobody takes over.')
      },
      { timeoutMs: 20_000 },
    )
  } finally {
    await worker.kill('SIGCONT')
  }
}
