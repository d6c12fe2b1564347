import { type ChangeRequest, compareStamps, type Log, parsePosition, type Position } from '@headwater/core'

/** So many appends are in flight at any time; batches form by themselves among them. */
const inFlight = 2_000

/** Appends every change, and keeps the last position of each partition in `last`. */
export async function appendAll(
  log: Log,
  requests: readonly ChangeRequest[],
  last: Map<number, Position>,
  onAppended: () => void,
): Promise<void> {
  const waiting = requests.values()
  const appendNext = async (): Promise<void> => {
    for (const request of waiting) {
      const { position } = await log.append(request)
      const { partition, ...stamp } = parsePosition(position)
      const before = last.get(partition)
      if (before === undefined || compareStamps(parsePosition(before), stamp) < 0)
        last.set(partition, position)
      onAppended()
    }
  }
  await Promise.all(Array.from({ length: inFlight }, appendNext))
}
