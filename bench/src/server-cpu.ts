import { Redis } from 'ioredis'
import type { RedisAddress } from './raw-client.ts'

/**
 * CPU time that the main thread of a Redis takes for some work, in µs. Steadier than the time on the clock, and what
 * limits a Redis in the end.
 */
export async function serverCpu(redis: RedisAddress, work: () => Promise<unknown>): Promise<number> {
  const client = new Redis({ ...redis })
  const before = await mainThreadCpu(client)
  await work()
  const after = await mainThreadCpu(client)
  client.disconnect()
  return after - before
}

async function mainThreadCpu(client: Redis): Promise<number> {
  const info = await client.info('cpu')
  const seconds = (name: string) => Number(new RegExp(`${name}:([\\d.]+)`).exec(info)?.[1])
  return (seconds('used_cpu_sys_main_thread') + seconds('used_cpu_user_main_thread')) * 1_000_000
}
