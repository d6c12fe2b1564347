// Runs each given program in a namespace of its own on a Redis server that ends after the last of them.
import { spawnSync } from 'node:child_process'
import { startRedis } from '@headwater/local-servers'

await using redis = await startRedis()
for (const [index, program] of process.argv.slice(2).entries()) {
  const { status } = spawnSync(process.execPath, [program], {
    env: { ...process.env, REDIS_URL: redis.url, NAMESPACE: `${redis.namespacePrefix}packed-${index}` },
    stdio: 'inherit',
    timeout: 60_000,
  })
  if (status !== 0) throw new Error(`${program} failed.`)
}
