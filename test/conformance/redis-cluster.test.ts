import { randomUUID } from 'node:crypto'
import { sinkConformance, type FaultyLink } from '@headwater/conformance'
import { startCluster, startProxy, type RedisCluster, type TcpProxy } from '@headwater/local-servers'
import { redisSink } from '@headwater/redis'
import { Cluster, type ClusterOptions } from 'ioredis'
import { afterAll, beforeAll } from 'vitest'

let cluster: RedisCluster

beforeAll(async () => {
  cluster = await startCluster()
})

afterAll(async () => {
  await cluster.stop()
})

sinkConformance('redis cluster', {
  supports: {
    transactions: false,
    list: true,
    read: true,
    replace: true,
    digest: true,
    snapshot: true,
    nul: true,
  },
  // Each look at all rows asks 16,384 slots.
  runs: 3,
  async open(collection) {
    const name = randomUUID()
    const clients: Cluster[] = []
    const proxies: TcpProxy[] = []
    const sinkOn = (client: Cluster) =>
      redisSink({ client, collection, key: `${name}:{key}`, prefix: `sink:${name}` })
    const connect = (options: ClusterOptions = {}) => {
      const client = new Cluster(cluster.addresses, options)
      clients.push(client)
      return client
    }
    const ours = connect()
    return {
      sink: sinkOn(ours),
      another: async () => sinkOn(connect()),
      async faulty() {
        const links = await Promise.all(cluster.addresses.map((address) => startProxy(address)))
        proxies.push(...links)
        return { sink: sinkOn(connect(throughProxies(links))), link: oneLink(links) }
      },
      dump: () => dump(ours, `${name}:`),
      async close() {
        for (const client of clients) client.disconnect()
        for (const proxy of proxies) await proxy.stop()
      },
    }
  },
})

/** Sends what is for a node to the proxy before it. */
function throughProxies(proxies: readonly TcpProxy[]): ClusterOptions {
  const natMap = cluster.addresses.map(({ host, port }, index) => {
    const { host: proxyHost = '', port: proxyPort = 0 } = proxies[index]?.address ?? {}
    return [`${host}:${port}`, { host: proxyHost, port: proxyPort }] as const
  })
  return {
    natMap: Object.fromEntries(natMap),
    clusterRetryStrategy: () => 10,
  }
}

/** The requests to all nodes count together. */
function oneLink(proxies: readonly TcpProxy[]): FaultyLink {
  return {
    async loseRequest(_request, { nth }) {
      const matches = nthOfAll(nth)
      await Promise.race(proxies.map((proxy) => proxy.loseRequest(matches)))
    },
    async loseReply(_request, { nth }) {
      const matches = nthOfAll(nth)
      await Promise.race(proxies.map((proxy) => proxy.loseReply(matches)))
    },
  }
}

function nthOfAll(nth: number): () => boolean {
  let seen = 0
  return () => ++seen === nth
}

async function dump(client: Cluster, prefix: string): Promise<Map<string, unknown>> {
  const shown = new Map<string, unknown>()
  for (const node of client.nodes('master')) {
    for (const key of await node.keys(`${prefix}*`)) {
      shown.set(key.slice(prefix.length), JSON.parse((await node.get(key)) ?? ''))
    }
  }
  return shown
}
