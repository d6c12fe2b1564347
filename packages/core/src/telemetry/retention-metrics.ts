import { createNoopMeter, metrics, type Attributes } from '@opentelemetry/api'
import * as names from './attribute-names.ts'
import { scopeName } from './instrumentation-scope.ts'

interface RetainedPartition {
  readonly partition: number
  readonly bytes: number
  readonly holders: readonly { readonly kind: string; readonly name: string; readonly bytes: number }[]
}

/** Who was reported of a log, so that nobody who has gone is shown for ever with what he needed last. */
const reportedOf = new WeakMap<object, Map<string, Attributes>>()

/** Records what the partitions of a log keep, and for whom. */
export function recordRetention(
  log: object,
  namespace: string,
  partitions: readonly RetainedPartition[],
): void {
  const meter = metrics.getMeter(scopeName)
  if (meter === createNoopMeter()) return
  const logBytes = meter.createGauge(names.logBytes, {
    unit: 'By',
    description: 'Memory of the streams of the log.',
  })
  const heldBytes = meter.createGauge(names.heldBytes, {
    unit: 'By',
    description: 'Memory of the changes that a group or hold still needs.',
  })
  const gone = reportedOf.get(log) ?? new Map<string, Attributes>()
  const reported = new Map<string, Attributes>()
  for (const { partition, bytes, holders } of partitions) {
    const attributes = { [names.destinationName]: namespace, [names.destinationPartition]: String(partition) }
    logBytes.record(bytes, attributes)
    for (const holder of holders) {
      const id = `${partition} ${holder.kind} ${holder.name}`
      const ofHolder = { ...attributes, [names.holderKind]: holder.kind, [names.holder]: holder.name }
      heldBytes.record(holder.bytes, ofHolder)
      reported.set(id, ofHolder)
      gone.delete(id)
    }
  }
  for (const attributes of gone.values()) heldBytes.record(0, attributes)
  reportedOf.set(log, reported)
}
