import { archive } from './archive.ts'
import { purge } from './purge.ts'
import { redrive } from './redrive.ts'
import { scrub } from './scrub.ts'
import type { Task } from './task.ts'
import { trim } from './trim.ts'
import { verify } from './verify.ts'

/** Kinds of upkeep, by the name that options, queues and jobs use. */
export type TaskName = 'archive' | 'trim' | 'purge' | 'redrive' | 'verify' | 'scrub'

export const tasks: Readonly<Record<TaskName, Task>> = { archive, trim, purge, redrive, verify, scrub }
