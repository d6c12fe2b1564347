import type { TaskName } from './tasks/tasks.ts'

/**
 * The name of the queue in which the runs of a task are, to look at it with anything that knows BullMQ. Its braces keep all
 * keys of the queue in one slot of a Cluster.
 */
export function upkeepQueueName(namespace: string, task: TaskName): string {
  return `{headwater-${namespace}-${task}}`
}
