import { plainClient } from '../../support/plain-client.ts'
import type { Deployment } from '../deployment/deployment.ts'
import type { Deeds } from './deed.ts'

export const reshardingDeeds: Deeds = {
  // Key by key, as redis-cli's resharding does it.
  'move a slot': {
    on: ['cluster'],
    async run({ deployment, log }, random) {
      await using nodes = await mastersOf(deployment)
      const key = `headwater:{${log.namespace}:${random.below(log.partitions)}}:header`
      const slot = await nodes.clients[0]!.cluster('KEYSLOT', key)
      const ids = await Promise.all(nodes.clients.map((node) => node.cluster('MYID')))
      const counts = await Promise.all(nodes.clients.map((node) => node.cluster('COUNTKEYSINSLOT', slot)))
      const from = counts.findIndex((count) => count > 0)
      const to = (from + 1 + random.below(nodes.clients.length - 1)) % nodes.clients.length
      const [source, target] = [nodes.clients[from]!, nodes.clients[to]!]
      await target.cluster('SETSLOT', slot, 'IMPORTING', ids[from]!)
      await source.cluster('SETSLOT', slot, 'MIGRATING', ids[to]!)
      for (;;) {
        const keys = await source.cluster('GETKEYSINSLOT', slot, random.between(1, 8))
        if (keys.length === 0) break
        await source.migrate('127.0.0.1', nodes.ports[to]!, '', 0, 5_000, 'KEYS', ...keys)
      }
      for (const node of [target, source, ...nodes.clients])
        await node.cluster('SETSLOT', slot, 'NODE', ids[to]!)
    },
  },
}

async function mastersOf(deployment: Deployment): Promise<
  {
    readonly clients: readonly ReturnType<typeof plainClient>[]
    readonly ports: readonly number[]
  } & AsyncDisposable
> {
  const nodes = (await deployment.masters()).map((index) => deployment.servers[index]!)
  const clients = nodes.map(({ options }) => plainClient(options))
  return {
    clients,
    ports: nodes.map(({ port }) => port!),
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.disconnect()
    },
  }
}
