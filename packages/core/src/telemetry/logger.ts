import type { HeadwaterError } from '../errors/headwater-error.ts'
import type { WorkerEvent } from '../worker/worker-event.ts'

/** Where a worker tells what it does: facts first, then words, as pino takes them. */
export interface Logger {
  info(facts: object, message: string): void
  warn(facts: object, message: string): void
  error(facts: object, message: string): void
}

/** Complete by its type: an event without its line does not compile. */
const lines: Readonly<Record<WorkerEvent['kind'], readonly [level: keyof Logger, message: string]>> = {
  acquired: ['info', 'took the partition'],
  released: ['info', 'gave the partition back'],
  lost: ['warn', 'lost the partition'],
  retrying: ['warn', 'tries again'],
  parked: ['error', 'parked a key'],
  redriven: ['info', 'fed a parked key back'],
  'redrive-refused': ['error', 'parked a key again that was fed back'],
  standstill: ['error', 'has no room to park, the partition stands still'],
  'going-on': ['info', 'has room to park again and goes on'],
  steered: ['info', 'was steered'],
  isolating: ['warn', 'goes on one change at a time, because workers died here'],
  'group-restored': ['warn', 'made the consumer group again, which had disappeared'],
  'history-lost': ['error', 'the log lost history that was seen here'],
  'sink-behind': ['warn', 'the sink is behind the checkpoint and gets the changes again'],
  copying: ['info', 'copies the state to the sink'],
  copied: ['info', 'has copied the state, and goes on with the changes'],
  damaged: ['error', 'the log is damaged, the partition stands still'],
  edited: ['error', 'a stored value is not what the log says'],
  differs: ['error', 'the sink does not hold what the log holds'],
}

/**
 * Logs what a worker tells, without payloads and secrets: what a sink says of a failure may quote a value or a connection
 * string, so only its code is told, and that of its cause. The whole reason of a parked key stands beside it in Redis.
 */
export function logEvents(logger: Logger): (event: WorkerEvent) => void {
  return (event) => {
    const [level, message] = lines[event.kind]
    const { kind, ...facts } = event
    logger[level](
      { event: kind, ...facts, ...('error' in facts && { error: errorFacts(facts.error) }) },
      message,
    )
  }
}

function errorFacts({ code, message, cause }: HeadwaterError): object {
  const causeCode = (cause as { readonly code?: unknown } | undefined)?.code
  return {
    code,
    ...(typeof causeCode === 'string' && { cause: causeCode }),
    ...(!code.startsWith('SINK_') && { message: message.replace(` [${code}]`, '') }),
  }
}
