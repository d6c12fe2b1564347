import { execFileSync } from 'node:child_process'

interface RunningProcess {
  readonly pid: number
  readonly parent: number
}

/** Whether a process runs; one that has ended and waits for its parent to notice does not. */
export function isRunning(pid: number): boolean {
  return runningProcesses().some((process) => process.pid === pid)
}

/** The process that started this one. */
export function parentOf(pid: number): number {
  const found = runningProcesses().find((process) => process.pid === pid)
  if (found === undefined) throw new Error(`Process ${pid} does not run.`)
  return found.parent
}

/** A process and all that it started, directly or not. */
export function processTree(root: number): number[] {
  const all = runningProcesses()
  const tree = [root]
  for (const pid of tree) tree.push(...all.filter(({ parent }) => parent === pid).map((child) => child.pid))
  return tree
}

function runningProcesses(): RunningProcess[] {
  return execFileSync('ps', ['-A', '-o', 'pid=,ppid=,stat='], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/) as [string, string, string])
    .filter(([, , state]) => !state.startsWith('Z'))
    .map(([pid, parent]) => ({ pid: Number(pid), parent: Number(parent) }))
}
