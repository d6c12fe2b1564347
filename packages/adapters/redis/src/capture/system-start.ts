import { readFileSync } from 'node:fs'
import { uptime } from 'node:os'

/** Differs after the machine was started anew: what was not synced to disk before that may be damaged. */
export function systemStart(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    // Not Linux: to ten minutes, since clocks are corrected.
    return String(Math.round((Date.now() / 1_000 - uptime()) / 600))
  }
}

export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
