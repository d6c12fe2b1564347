import type { HeadwaterError } from '@headwater/core'

/** What a capture tells about itself: for logs, and for tests that wait for something to happen. No values, no secrets. */
export type CaptureEvent =
  /** Connected, and the stream goes on where the target is. */
  | { readonly kind: 'attached'; readonly offset: number }
  /** Everything is copied. Why: it is the first time, or the source cannot continue where we are. */
  | {
      readonly kind: 'full-copy'
      readonly reason: 'first' | 'source-cannot-continue'
      readonly offset: number
    }
  /** The source failed over, or restarted, and its stream goes on without a new copy. */
  | { readonly kind: 'history-renamed'; readonly replicationId: string }
  /** Of a full copy. Bytes of the dump; `etaSeconds` is a guess from the speed so far. */
  | {
      readonly kind: 'copying'
      readonly step: 'receiving' | 'applying'
      readonly bytes: number
      /** Unknown while a source sends without writing its dump to disk first. */
      readonly totalBytes: number | undefined
      readonly etaSeconds: number | undefined
    }
  /** Of mode *state*: how many keys of a collection were compared, of how many that the source has of any kind. */
  | {
      readonly kind: 'sweeping'
      readonly collection: string
      readonly keys: number
      readonly keysOfSource: number
      readonly etaSeconds: number
    }
  /** The source does not tell of changes to its keys (`notify-keyspace-events KA`): only rescans find them. */
  | { readonly kind: 'notifications-off' }
  /** A value that cannot enter the log as it is. The log keeps what it has; it is tried again when it changes, or at the next start. */
  | {
      readonly kind: 'rejected'
      readonly collection: string
      readonly key: string
      readonly error: HeadwaterError
    }
  | { readonly kind: 'copied'; readonly keys: number; readonly seconds: number }
  /** The source or the target failed, and is tried again. */
  | { readonly kind: 'retrying'; readonly side: 'source' | 'target'; readonly error: Error }
  /**
   * The target may have lost what it had acknowledged (a failover): the stream is applied again from where it is, or, in mode
   * *state*, everything is compared.
   */
  | { readonly kind: 'target-went-back'; readonly offset: number | undefined }
