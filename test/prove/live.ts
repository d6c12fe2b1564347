import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { PostgresServer, RedisServer } from '@headwater/local-servers'

/** What the live process is told at its start. */
export interface LiveSettings {
  readonly redis: RedisServer['options']
  readonly postgres: Pick<PostgresServer, 'connection' | 'schema'>
  readonly namespace: string
  readonly prefix: string
  readonly names: { readonly redis: string; readonly postgres: string }
}

/** The process that keeps the copies up, and writes on demand. */
export class Live {
  readonly #process: ChildProcess

  private constructor(process: ChildProcess) {
    this.#process = process
  }

  static async start(settings: LiveSettings): Promise<Live> {
    const child = fork(
      fileURLToPath(new URL('./live-process.ts', import.meta.url)),
      [JSON.stringify(settings)],
      {
        execArgv: ['--conditions=@headwater/source', '--import', 'tsx'],
      },
    )
    await Promise.race([
      once(child, 'message'),
      once(child, 'exit').then(([code]) => Promise.reject(new Error(`The live process ended with ${code}.`))),
    ])
    return new Live(child)
  }

  startTraffic(): void {
    this.#process.send('traffic')
  }

  /** Ends traffic and worker; gives how many changes were written. */
  async stop(): Promise<number> {
    const ended = once(this.#process, 'exit')
    this.#process.send('stop')
    const [{ written }] = (await once(this.#process, 'message')) as [{ written: number }]
    await ended
    return written
  }
}
