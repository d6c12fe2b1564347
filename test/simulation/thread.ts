import { parentPort, workerData } from 'node:worker_threads'
import { createHasher } from '../../packages/core/src/change/content-hash.ts'
import { lead } from './life.ts'
import { planOf, type Scope } from './plan.ts'
import { addLife, emptyTally, type Tally } from './tally.ts'

/** What one thread is to do: a share of the seeds. */
export interface Task {
  readonly scope: Scope
  readonly firstSeed: number
  /** From one seed to the next. */
  readonly stride: number
  /** Whichever ends first. */
  readonly seconds: number
  readonly lives: number
  readonly untilFailed: boolean
  readonly trace: boolean
}

/** What a thread tells: lines of a trace, lives that broke a promise, and in the end what all of them came to. */
export type Told =
  | { readonly line: string }
  | { readonly seed: number; readonly breaches: readonly string[] }
  | { readonly tally: Tally }

const { scope, firstSeed, stride, seconds, lives, untilFailed, trace } = workerData as Task
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a port of threads, not a window
const tell = (told: Told): void => parentPort!.postMessage(told)
const hasher = await createHasher(0n)
const options = { hasher, ...(trace && { trace: (line: string) => tell({ line }) }) }
const endsAt = performance.now() + seconds * 1_000
const tally = emptyTally()
for (let seed = firstSeed; tally.lives < lives && performance.now() < endsAt; seed += stride) {
  const report = await lead(planOf(seed, scope), options)
  addLife(tally, report)
  if (report.breaches.length > 0) tell({ seed, breaches: report.breaches })
  if (untilFailed && tally.failed.length > 0) break
  // Between lives the thread may do what else it has to.
  await new Promise((resolve) => setImmediate(resolve))
}
tell({ tally })
