export type { CaptureEvent } from './capture/capture-event.ts'
export {
  startCommandCapture,
  type CaptureStatus,
  type CommandCapture,
  type CommandCaptureOptions,
} from './capture/command-capture.ts'
export { bookkeepingPrefix } from './capture/command-target.ts'
export { expiryHoldMs } from './capture/held-expiry.ts'
export type { CaptureServer } from './capture/source-address.ts'
export type { RedisClient } from './redis-client.ts'
export { redisNode, type RedisNodeOptions } from './redis-node.ts'
export { redisSink, type RedisSinkOptions } from './redis-sink.ts'
export type { ValueLayout } from './redis-target.ts'
