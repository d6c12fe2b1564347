import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { isRunning, processTree } from '../support/process-tree.ts'

const workspace = fileURLToPath(new URL('../../', import.meta.url))
const command = ['--conditions=@headwater/source', '--import', 'tsx', 'examples/browser-compat/main.ts']

/** The demo with the first two releases only. */
class Demo {
  readonly process: ChildProcessByStdio<null, Readable, Readable>
  readonly ended: Promise<unknown[]>
  output = ''
  progress = ''

  constructor() {
    this.process = spawn(process.execPath, [...command, '--releases', '2', '--json'], {
      cwd: workspace,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.ended = once(this.process, 'close')
    this.process.stdout.setEncoding('utf8').on('data', (text: string) => (this.output += text))
    this.process.stderr.setEncoding('utf8').on('data', (text: string) => (this.progress += text))
  }

  get pid(): number {
    return this.process.pid!
  }

  get workers(): number[] {
    const [, first, second] = /processes (\d+) and (\d+)/.exec(this.progress) ?? []
    return [Number(first), Number(second)]
  }

  async reaches(step: string): Promise<void> {
    const hasReached = (): void => {
      if (!this.progress.includes(step)) throw new Error(`It has not reached ${step}:\n${this.progress}`)
    }
    await eventually(hasReached, { timeoutMs: 60_000 })
  }
}

describe('the demo', { timeout: 120_000 }, () => {
  let demo: Demo

  afterEach(() => {
    demo.process.kill('SIGKILL')
  })

  it('kills a worker that holds work, and ends with both replicas equal to the release', async () => {
    demo = new Demo()

    const [code] = await demo.ended

    expect({ code, progress: demo.progress }).toMatchObject({ code: 0 })
    const result = JSON.parse(demo.output.trim().split('\n').at(-1)!) as Record<string, unknown>
    expect(result).toMatchObject({
      changes: 21_557,
      live: 13_700,
      equal: { cache: true, reporting: true },
      killedWorkers: 1,
    })
    const measured = [result['seconds'], result['changesPerSecond'], result['takeoverSeconds']]
    expect(measured.filter((value) => typeof value === 'number' && value > 0)).toHaveLength(3)
    expect(demo.progress).toMatch(
      /SIGKILL for worker \d+, which owned [1-9]\d* partitions and held [1-9]\d* unack/,
    )
  })

  it('fails, and says where, when a worker dies that it did not kill', async () => {
    demo = new Demo()
    await demo.reaches('4.0.0')
    const [worker] = demo.workers

    process.kill(worker!, 'SIGKILL')

    expect(await demo.ended).toEqual([1, null])
    expect(demo.progress).toContain(`(process ${worker}) ended by itself: SIGKILL`)
    expect(demo.progress).toContain('Failed at: 4.0.0')
  })

  it('leaves no process behind when it is killed, not even a worker that is frozen', async () => {
    demo = new Demo()
    await demo.reaches('4.0.0')
    const started = processTree(demo.pid)
    process.kill(demo.workers[0]!, 'SIGSTOP')

    process.kill(demo.pid, 'SIGKILL')

    await eventually(() => expect(started.filter(isRunning)).toEqual([]))
    expect(started.length).toBeGreaterThan(6)
  })
})
