import { setFlagsFromString } from 'node:v8'

/**
 * By how much the heap of a worker's process may grow before V8 looks for garbage in all of it, in percent of what was
 * alive the last time. Left alone, V8 lets it grow up to fourfold where collecting would take more than 3 % of the time:
 * as long as a backlog is worked off, that is mostly garbage.
 */
const heapGrowingPercent = 75

/** For a process that does nothing else: a worker within a larger application leaves V8 to the application. */
export function keepHeapSmall(): void {
  setFlagsFromString(`--heap-growing-percent=${heapGrowingPercent}`)
}
