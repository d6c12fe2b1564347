export type { CaptureEvent } from './capture/capture-event.ts'
export type { CaptureStatus } from './capture/capture-lag.ts'
export { captured, type CapturedCollection, type CapturedOptions } from './capture/captured-collection.ts'
export type { CaptureFilter } from './capture/command-filter.ts'
export type { CapturedType } from './capture/type-filter.ts'
export {
  startCommandCapture,
  type CommandCapture,
  type CommandCaptureOptions,
} from './capture/command-capture.ts'
export { bookkeepingPrefix } from './capture/command-target.ts'
export { expiryHoldMs } from './capture/held-expiry.ts'
export type { CaptureServer } from './capture/source-address.ts'
export type { SourceValues } from './capture/source-values.ts'
export {
  startStateCapture,
  type StateCapture,
  type StateCaptureOptions,
  type StateCaptureStatus,
} from './capture/state-capture.ts'
export type { RejectedValue } from './capture/state-writer.ts'
export type { RedisClient } from './redis-client.ts'
export { redisNode, type RedisNodeOptions } from './redis-node.ts'
export { redisSink, type RedisSinkOptions } from './redis-sink.ts'
export type { ValueLayout } from './redis-target.ts'
