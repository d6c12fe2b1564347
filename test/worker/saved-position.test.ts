import { notes, type Note } from '@headwater/conformance'
import { HeadwaterError, startWorker, type Sink } from '@headwater/core'
import { describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { client, log, openFollowedLog } from './followed-log.ts'
import { drained, partitionKeys } from './test-log.ts'
import { watchedSink, type WatchedSink } from './watched-sink.ts'

const group = 'copy'
openFollowedLog()

/** A sink that stores its position only with changes. */
function withoutAdvance(sink: WatchedSink, advance: () => Promise<void>): Sink<Note> {
  return { ...sink, open: async (options) => ({ ...(await sink.open(options)), advance }) }
}

const refuse = (): Promise<void> => Promise.reject(new Error('Not now.'))
const put = (id: string) => log.append(notes.put({ id, content: 1 }))
const savedOf = () => client.hget(partitionKeys(log, group).group, 'saved')

// What retention removes goes by it: a sink that stands before it would find its next changes gone.
describe('what a group says that its sink has stored', () => {
  it('is not what the sink was to store with a call that it rejected', async () => {
    const sink = watchedSink()
    sink.answer = ({ changes }) => {
      if (changes.some(({ key }) => key === 'bad')) throw new HeadwaterError('SINK_REJECTED', 'Not this one.')
      return undefined
    }
    await using worker = await startWorker(log, { groups: { [group]: withoutAdvance(sink, refuse) } })
    await put('good')
    await drained(log, group)
    await put('bad')
    await drained(log, group)
    expect(worker.health().live).toBe(true)
    expect(await savedOf()).toBe('0-0')
  })

  it('is not what it refused to store when the worker stopped', async () => {
    const sink = watchedSink()
    const { target } = sink
    const first = await startWorker(log, { groups: { [group]: withoutAdvance(sink, refuse) } })
    await put('lamp')
    await drained(log, group)
    await first.stop()

    let fail: (() => void) | undefined
    const advance = () => new Promise<void>((_, reject) => (fail = () => reject(new Error('Not now.'))))
    const next = withoutAdvance(watchedSink({ target }), advance)
    const second = await startWorker(log, { groups: { [group]: next } })
    await eventually(() => expect(fail).toBeDefined())
    const stopped = second.stop()
    fail!()
    await stopped
    expect(await savedOf()).toBe('0-0')
  })
})
