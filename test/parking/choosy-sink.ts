import type { Note } from '@headwater/conformance'
import { HeadwaterError, reject, type Outcome } from '@headwater/core'
import type { WatchedSink } from '../worker/watched-sink.ts'

/** What a sink rejects, and whether it still does: tests mend it. */
export interface Taste {
  dislikes: (content: Note['content'], key: string) => boolean
}

/** Lets a watched sink reject what it dislikes, each change for itself. */
export function chooseBy(sink: WatchedSink, taste: Taste): void {
  sink.answer = ({ changes }): readonly Outcome[] | undefined => {
    const bad = changes.filter(({ key, value }) => {
      return value !== undefined && taste.dislikes((value as Note).content, key)
    })
    if (bad.length === 0) return undefined
    const error = new HeadwaterError('SINK_REJECTED', 'It cannot hold that.')
    // One at a time, so that the memory sink answers for the others.
    if (changes.length > 1) throw error
    return [reject(error)]
  }
}
