export type { RedisClient } from './redis-client.ts'
export { redisSink, type RedisSinkOptions } from './redis-sink.ts'
export type { ValueLayout } from './redis-target.ts'
