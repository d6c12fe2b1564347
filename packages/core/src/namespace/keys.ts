/**
 * Every Redis key of a namespace. All keys of one partition share a hash tag, so that a Cluster keeps them in one
 * slot and one script can use them together. `docs/keys.md` describes what each holds.
 */
export interface NamespaceKeys {
  /** Hash: format, partitions, buckets, seed, lineage, durability; `collection:<name>` → what is fixed of it. */
  readonly metadata: string
  /** Sorted set: the live workers of a group, by when their life sign expires. */
  readonly members: (group: string) => string
  /** Hash: of each origin its token and progress; which of them feeds a collection. */
  readonly origins: string
  /** Hash: what is paused, changed or drained at run time. */
  readonly steering: string
  readonly partitions: readonly PartitionKeys[]
}

export interface PartitionKeys {
  /** Hash: lineage, epoch, replication id, sequence, and what each epoch inherited. */
  readonly header: string
  /** Stream: the batches. */
  readonly log: string
  /** Hash: producer → its last batch number and result. */
  readonly producers: string
  /** Two hashes, rotated by age: idempotency key → result. */
  readonly results: readonly [string, string]
  /** Hash: group → when it was registered. */
  readonly groups: string
  /** Hash: name → who else needs the changes behind which position, and for how long. */
  readonly holds: string
  /** Hash: origin → the token and the position of what it brought here last. */
  readonly origins: string
  /** Hash: entity key → head of its state: stamp, content hash, operation, version. */
  readonly heads: (collection: string, bucket: number) => string
  /** Hash: entity key → its latest value, of a decider the folded state. */
  readonly values: (collection: string, bucket: number) => string
  /** String: two 64-bit lanes for each bucket. */
  readonly digest: (collection: string) => string
  /** Hash: lease and checkpoint of a group. */
  readonly group: (group: string) => string
  /** Hash: collection and key → why it is parked, and from where on. */
  readonly parkedKeys: (group: string) => string
  /** Stream: copies of the changes set aside, in the order of their parking. */
  readonly parked: (group: string) => string
  /** Hash: collection and key → which parked changes were given up. */
  readonly dropped: (group: string) => string
}

export function namespaceKeys(namespace: string, partitions: number): NamespaceKeys {
  const shared = `headwater:{${namespace}}`
  return {
    metadata: metadataKey(namespace),
    members: (group) => `${shared}:members:${group}`,
    origins: `${shared}:origins`,
    steering: `${shared}:steering`,
    partitions: Array.from({ length: partitions }, (_, partition) => partitionKeys(namespace, partition)),
  }
}

export function metadataKey(namespace: string): string {
  return `headwater:{${namespace}}:metadata`
}

function partitionKeys(namespace: string, partition: number): PartitionKeys {
  const prefix = `headwater:{${namespace}:${partition}}`
  return {
    header: `${prefix}:header`,
    log: `${prefix}:log`,
    producers: `${prefix}:producers`,
    results: [`${prefix}:results:0`, `${prefix}:results:1`],
    groups: `${prefix}:groups`,
    holds: `${prefix}:holds`,
    origins: `${prefix}:origins`,
    heads: (collection, bucket) => `${prefix}:heads:${collection}:${bucket}`,
    values: (collection, bucket) => `${prefix}:values:${collection}:${bucket}`,
    digest: (collection) => `${prefix}:digest:${collection}`,
    group: (group) => `${prefix}:group:${group}`,
    parkedKeys: (group) => `${prefix}:parked-keys:${group}`,
    parked: (group) => `${prefix}:parked:${group}`,
    dropped: (group) => `${prefix}:dropped:${group}`,
  }
}
