import type { Progress } from './progress.ts'

const limitMinutes = 5

/** Ends this process, and so everything that it started, when it does not come to its end in time; says where it hung. */
export function limitTime(progress: Progress): void {
  const giveUp = (): never => {
    progress.note(`Gave up after ${limitMinutes} minutes. It hung at: ${progress.where}`)
    process.exit(1)
  }
  setTimeout(giveUp, limitMinutes * 60_000).unref()
}
