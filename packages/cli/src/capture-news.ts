import type { CaptureEvent } from '@headwater/redis'
import { count, duration, printable, type Output } from './output.ts'

/** Tells on stderr what a capture says about itself. */
export function tellNews(output: Output, event: CaptureEvent): void {
  switch (event.kind) {
    case 'copying': {
      const { step, bytes, totalBytes, etaSeconds } = event
      const total = totalBytes === undefined ? '' : ` of ${count(totalBytes)}`
      const left = etaSeconds === undefined ? '' : `, about ${duration(etaSeconds)} left`
      output.progress(() => `${step} the dump: ${count(bytes)}${total} bytes${left}`)
      break
    }
    case 'sweeping': {
      const { collection, keys, keysOfSource, etaSeconds } = event
      output.progress(
        () =>
          `comparing ${collection}: ${count(keys)} keys, the source has ${count(keysOfSource)} of all kinds, about ${duration(etaSeconds)} left`,
      )
      break
    }
    case 'attached':
      output.note(`The source continues where we are, at offset ${event.offset}.`)
      break
    case 'full-copy':
      output.note(
        event.reason === 'first'
          ? 'Everything is copied.'
          : 'The source cannot continue where we are: everything is copied again.',
      )
      break
    case 'copied':
      output.note(`${count(event.keys)} keys were copied in ${duration(event.seconds)}.`)
      break
    case 'history-renamed':
      output.note('The source failed over, and goes on without a new copy.')
      break
    case 'retrying':
      output.note(`The ${event.side} cannot be used right now, and is tried again: ${event.error.message}`)
      break
    case 'target-went-back':
      output.note('The target lost what it had taken: it is applied again.')
      break
    case 'notifications-off':
      output.note(
        'The source does not tell of changes (CONFIG SET notify-keyspace-events KA): they are found by rescans only.',
      )
      break
    case 'rejected':
      output.note(
        `Key ${printable(event.key)} cannot enter ${event.collection}, which keeps what it has: ${event.error.message}`,
      )
  }
}
