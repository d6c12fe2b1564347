import { isHeadwaterError, type Change, type FeedChange } from '@headwater/core'
import { printable, type Output } from './output.ts'

/** A change as programs get it. */
export function changeJson(change: Change | FeedChange): object {
  const { position, partition, collection, key, kind, version, schemaVersion, time, metadata } = change
  return {
    position,
    partition,
    collection,
    key,
    kind,
    version,
    schemaVersion,
    time: timeText(time),
    ...valueOf(change),
    metadata,
  }
}

/** What a stranger has put into the log, and nobody can decode, ends no command that shows changes. */
function valueOf(change: Change | FeedChange): object {
  try {
    return { value: change.value ?? null }
  } catch (error) {
    if (!isHeadwaterError(error, 'CHANGE_UNREADABLE')) throw error
    return { value: null, unreadable: error.message }
  }
}

/** A change on one line: on a terminal cut at its edge, elsewhere whole. */
export function changeText(output: Output, change: Change | FeedChange): string {
  const { position, collection, key, kind, version, time, payload, metadata = {} } = change
  const head = `${timeText(time)}  ${position}  `
  const what = `${collection}/${printable(key)}  ${version}  `
  const notes = Object.entries(metadata).map(([name, value]) => `${printable(name)}=${printable(value)}`)
  const rest = [kind === 'delete' ? 'deleted' : printable(payload), ...notes].join('  ')
  const room = (output.columns ?? Number.POSITIVE_INFINITY) - head.length - what.length
  const cut = rest.length > room ? `${rest.slice(0, Math.max(0, room - 1))}…` : rest
  return `${output.style('dim', head)}${what}${kind === 'delete' ? output.style('red', cut) : cut}`
}

/** A change that comes from the log has a time. */
function timeText(time = 0): string {
  return new Date(time).toISOString()
}
