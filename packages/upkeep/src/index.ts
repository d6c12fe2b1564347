export { upkeepQueueName } from './queue-name.ts'
export type { TaskName } from './tasks/tasks.ts'
export type { Schedule, UpkeepOptions, UpkeepTasks } from './upkeep-options.ts'
export { startUpkeep, type Upkeep } from './upkeep.ts'
