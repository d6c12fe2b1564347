import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

/** A new folder for the spool of a capture, which goes with the test. */
export function spoolFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'headwater-capture-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}
