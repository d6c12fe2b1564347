import { GroupTelemetry } from '../../packages/core/src/telemetry/group-telemetry.ts'
import type { System } from '../src/system.ts'
import { system as headwater } from './headwater-nowhere.ts'

/** For comparison only: a worker whose code for spans and metrics was taken out of its process. */
export const system: System = {
  ...headwater,
  name: 'headwater-unobserved',
  settings: 'as `headwater-nowhere`, and its code for spans and metrics does nothing',
  openConsumer(...parameters) {
    const silent: Omit<GroupTelemetry, 'close'> = {
      apply: (_partition, _changes, _attempt, call) => call(),
      superseded() {},
      parked() {},
      rebalanced() {},
    }
    Object.assign(GroupTelemetry.prototype, silent)
    return headwater.openConsumer!(...parameters)
  },
}
