// Names of OpenTelemetry's semantic conventions for messaging (1.45; still in development), copied because their package
// breaks in minor versions. `messaging.system` became `messaging.system.name` in 1.45; back ends still read the older one,
// so both are set.

export const messagingSystem = 'messaging.system'
export const messagingSystemName = 'messaging.system.name'
export const operationName = 'messaging.operation.name'
export const operationType = 'messaging.operation.type'
export const destinationName = 'messaging.destination.name'
export const destinationPartition = 'messaging.destination.partition.id'
export const consumerGroup = 'messaging.consumer.group.name'
export const batchCount = 'messaging.batch.message_count'
export const errorType = 'error.type'

/** Position of the only change, or of the first and the last of several. */
export const position = 'headwater.position'
export const positionLast = 'headwater.position.last'
/** Version of the key; only where there is one change. */
export const version = 'headwater.version'
/** How often the changes were offered to the sink, this time included. */
export const attempt = 'headwater.attempt'
/** What became of changes: applied, stale, superseded, retried or parked. */
export const outcome = 'headwater.outcome'
/** What happened to the lease of a partition: acquired, released or lost. */
export const lease = 'headwater.lease'

/** What an acknowledged append of a namespace survives, as declared: memory, disk, replicated or all-replicas. */
export const durability = 'headwater.durability'

export const operationDuration = 'messaging.client.operation.duration'
export const sentMessages = 'messaging.client.sent.messages'
export const processDuration = 'messaging.process.duration'
/** Changes by what became of them at the sink. */
export const changes = 'headwater.changes'
/** Replicas that must have an append before it is acknowledged. */
export const durabilityReplicas = 'headwater.durability.replicas'
export const appendBatchSize = 'headwater.append.batch.size'
export const applyBatchSize = 'headwater.apply.batch.size'
/** From the append, by the clock of Redis, to the end of the apply, by that of the worker. */
export const lagTime = 'headwater.lag.time'
/** Changes in the log behind the checkpoint, for each partition that this worker holds. */
export const lagChanges = 'headwater.lag.changes'
/** Keys set aside, and entries that could not be decoded, for each partition that this worker holds. */
export const parkedKeys = 'headwater.parked.keys'
export const rebalances = 'headwater.rebalances'
/** Memory of a partition's stream. */
export const logBytes = 'headwater.log.bytes'
/** Memory of what one holder needs of a partition's stream. */
export const heldBytes = 'headwater.log.held.bytes'
/** Who needs it: the name of a group or hold, and `group` or what the hold is for. */
export const holder = 'headwater.holder'
export const holderKind = 'headwater.holder.kind'
/** Since a partition's sink was last proven to hold what the log holds. */
export const proofAge = 'headwater.proof.age'
