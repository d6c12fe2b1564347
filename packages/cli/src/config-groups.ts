import type { WorkerOptions } from '@headwater/core'
import type { Config } from './config.ts'

export type Groups = WorkerOptions['groups']

/** The groups of a config, with the clients that it opens for them; undefined where it has none. */
export async function groupsOf({ groups }: Config): Promise<Groups | undefined> {
  return typeof groups === 'function' ? await groups() : groups
}

export async function closeGroups(groups: Groups): Promise<void> {
  await Promise.all(Object.values(groups).map((group) => ('sink' in group ? group.sink : group).close()))
}
