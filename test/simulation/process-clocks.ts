import { SimulatedAbort } from './simulated-abort.ts'

/** Where a process gets its time and its chance from. */
export interface Clocks {
  readonly now: () => number
  /** From 0 to below 1. */
  readonly random: () => number
  /** Runs something once after so many ms, or again and again. */
  readonly start: (ms: number, run: () => void, again: boolean) => Timer
}

export interface Timer {
  /** Takes it back. */
  cancel(): void
  unref(): Timer
}

type Callback = (...args: unknown[]) => void

/**
 * Puts these in place of the clocks, timers and random numbers of the whole process, and a light `AbortController` beside them.
 * Gives what puts the real ones back.
 */
export function replaceClocks({ now, random, start }: Clocks): () => void {
  const timer = (run: Callback, ms: number, args: readonly unknown[], again: boolean): Timer =>
    start(Math.max(1, ms), args.length === 0 ? run : () => run(...args), again)
  const putBack = [
    replace(globalThis, {
      setTimeout: (run: Callback, ms = 0, ...args: unknown[]) => timer(run, ms, args, false),
      setInterval: (run: Callback, ms = 0, ...args: unknown[]) => timer(run, ms, args, true),
      clearTimeout: clear,
      clearInterval: clear,
      AbortController: SimulatedAbort,
    }),
    replace(performance, { now }),
    replace(Date, { now: () => Math.floor(now()) }),
    replace(Math, { random }),
    // Nobody reads where all these errors were made.
    replace(Error, { stackTraceLimit: 0 }),
  ]
  return () => {
    for (const put of putBack) put()
  }
}

function clear(made: Timer | undefined): void {
  made?.cancel()
}

function replace(of: object, by: Readonly<Record<string, unknown>>): () => void {
  const before = Object.fromEntries(Object.keys(by).map((name) => [name, Reflect.get(of, name) as unknown]))
  Object.assign(of, by)
  return () => void Object.assign(of, before)
}
