import { setTimeout as pause } from 'node:timers/promises'
import type { Output } from './output.ts'
import { stopSignal } from './stop-signal.ts'

/** What `--watch` is given: true for the default, else seconds. */
export type WatchFlag = true | number

const secondsDefault = 2

/** Shows something once, or again and again until SIGINT or SIGTERM: a picture that is drawn anew, or with JSON a line each time. */
export async function showOrWatch(
  output: Output,
  watch: WatchFlag | undefined,
  look: () => Promise<{ readonly json: object; readonly text: () => string }>,
): Promise<void> {
  if (watch === undefined) {
    const { json, text } = await look()
    return await output.result(json, text)
  }
  const stop = stopSignal()
  const everyMs = (watch === true ? secondsDefault : watch) * 1_000
  while (!stop.aborted) {
    const { json, text } = await look()
    await output.picture(json, text)
    await pause(everyMs, undefined, { signal: stop }).catch(() => {})
  }
}
