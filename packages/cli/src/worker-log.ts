import type { HeadwaterError, WorkerEvent } from '@headwater/core'
import { withoutSecrets } from './error-report.ts'
import { printable, type Output } from './output.ts'

type Level = 'info' | 'warn' | 'error'

/** Complete by its type: an event without its line does not compile. */
const lines: Readonly<Record<WorkerEvent['kind'], readonly [level: Level, msg: string]>> = {
  acquired: ['info', 'took the partition'],
  released: ['info', 'gave the partition back'],
  lost: ['warn', 'lost the partition'],
  retrying: ['warn', 'tries again'],
  parked: ['error', 'parked a key'],
  'group-restored': ['warn', 'made the consumer group again, which had disappeared'],
  'history-lost': ['error', 'the log lost history that was seen here'],
  'sink-behind': ['warn', 'the sink is behind the checkpoint and gets the changes again'],
  damaged: ['error', 'the log is damaged, the partition stands still'],
}

/** What a worker tells about itself, on stderr: readable lines, or JSON lines with `time`, `level` and `msg`. */
export class WorkerLog {
  readonly #output: Output

  constructor(output: Output) {
    this.#output = output
  }

  event(event: WorkerEvent): void {
    const [level, msg] = lines[event.kind]
    const { kind, group, partition, ...facts } = event
    const told = 'error' in facts ? { ...facts, ...errorFacts(facts.error) } : facts
    if (this.#output.json) this.#write(level, msg, { event: kind, group, partition, ...told })
    else this.#write(level, `${group}/${partition} ${msg}`, told)
  }

  info(msg: string, facts: object = {}): void {
    this.#write('info', msg, facts)
  }

  #write(level: Level, msg: string, facts: object): void {
    const time = new Date().toISOString()
    if (this.#output.json) return this.#output.note(JSON.stringify({ time, level, msg, ...facts }))
    const details = Object.entries(facts)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => `${name}=${readable(value)}`)
    this.#output.note([time, level.padEnd(5), msg, ...details].join(' '))
  }
}

/** Why a sink rejects a change may quote its value. Logs go far, so that reason stays with the parked key in Redis. */
function errorFacts({ code, message }: HeadwaterError): { code: string; error: string | undefined } {
  const told = code !== 'SINK_REJECTED'
  return { code, error: told ? withoutSecrets(message).replace(` [${code}]`, '') : undefined }
}

function readable(value: unknown): string {
  return printable(typeof value === 'string' && !/[\s"]/.test(value) ? value : JSON.stringify(value))
}
