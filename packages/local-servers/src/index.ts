export { type ChromiumBinary, findChromium } from './chromium-binary.ts'
export { type RedisCluster, type StartClusterOptions, startCluster } from './cluster.ts'
export { freePort } from './free-port.ts'
export { LocalServerError, type LocalServerErrorCode } from './local-server-error.ts'
export {
  type OwnPostgresServer,
  type PostgresConnection,
  type PostgresServer,
  type StartPostgresOptions,
  startPostgres,
} from './postgres.ts'
export type { ProxiedRequest } from './proxied-request.ts'
export { type Address, type RequestMatcher, type StartProxyOptions, startProxy, TcpProxy } from './proxy.ts'
export { type OwnRedisServer, type RedisServer, type StartRedisOptions, startRedis } from './redis.ts'
export type { RedisConfig } from './redis-node.ts'
export type { RedisMember } from './redis-members.ts'
export { type RedisSentinel, type StartSentinelOptions, startSentinel } from './sentinel.ts'
