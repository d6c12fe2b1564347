/** What a worker sees of its group when it decides what to take and what to give. */
export interface GroupView {
  readonly me: string
  /** The live workers, `me` among them. */
  readonly members: readonly string[]
  /** By partition: who holds a live lease, or undefined. */
  readonly owners: readonly (string | undefined)[]
}

export interface Assignment {
  /** Free partitions to ask a lease for. */
  readonly claim: readonly number[]
  /** Own partitions to hand over. */
  readonly release: readonly number[]
}

/**
 * Shares the partitions of a group out evenly, and moves as few as possible: nobody gives up a partition that it may
 * keep, so leases and their tokens stay. Every worker computes this for itself; workers with the same view do not collide,
 * and with different ones the leases decide and the next round is better informed.
 *
 * Source of the idea: the leaderless balancing of Azure Event Hubs' event processor.
 */
export function assign({ me, members, owners }: GroupView): Assignment {
  const counts = new Map(members.map((member) => [member, 0]))
  for (const owner of owners) {
    const count = owner === undefined ? undefined : counts.get(owner)
    if (count !== undefined) counts.set(owner!, count + 1)
  }
  const targets = targetsOf(counts, owners.length)
  const mine = owners.flatMap((owner, partition) => (owner === me ? [partition] : []))
  const target = targets.get(me) ?? 0
  if (mine.length > target) return { claim: [], release: mine.slice(target) }

  // Free partitions are dealt out in the order of names, so that each worker finds its own share.
  const free = owners.flatMap((owner, partition) => (owner === undefined ? [partition] : []))
  if (free.length === 0) return { claim: [], release: [] }
  let dealt = 0
  for (const member of members.toSorted()) {
    const wants = Math.max(0, targets.get(member)! - counts.get(member)!)
    if (member === me) return { claim: free.slice(dealt, dealt + wants), release: [] }
    dealt += wants
  }
  return { claim: [], release: [] }
}

/**
 * Even shares. The odd partitions go first to those who hold more than the even share, so that they need not move; among
 * these by name and not by how many they hold, because that changes while they give partitions up.
 */
function targetsOf(counts: ReadonlyMap<string, number>, partitions: number): Map<string, number> {
  const share = Math.floor(partitions / counts.size)
  const odd = partitions % counts.size
  const held = (count: number): number => Math.min(count, share + 1)
  const ranked = [...counts].toSorted(
    ([a, countA], [b, countB]) => held(countB) - held(countA) || (a < b ? -1 : 1),
  )
  return new Map(ranked.map(([member], rank) => [member, rank < odd ? share + 1 : share]))
}
