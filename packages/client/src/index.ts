export { FeedRefusedError } from './feed-refused-error.ts'
export {
  followCollection,
  type FollowOptions,
  type LiveCollection,
  type LiveEvent,
  type LiveStatus,
} from './live-collection.ts'
