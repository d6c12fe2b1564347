import type { ParseCalls } from '../parse-process.ts'
import { measureConsumerCpu } from '../src/measure-system.ts'
import { Part } from '../src/part.ts'
import { scaled, type Question, type Ratio } from '../src/question.ts'
import { alternate, divide } from '../src/rounds.ts'
import { startServers } from '../src/servers.ts'
import { system as headwater } from '../systems/headwater-nowhere.ts'

const sizes = [
  { name: '100B', bytes: 100, changes: 200_000 },
  { name: '1KiB', bytes: 1_024, changes: 50_000 },
]

export const workerCpu: Question = {
  name: 'worker-cpu',
  asks: 'What does a change cost the worker outside its sink, in JSON.parse of its own payload?',
  async answer(bench) {
    await using servers = await startServers(headwater.needs)
    const ratios: Ratio[] = []
    for (const { name, bytes, changes } of sizes) {
      const load = { messages: scaled(changes, bench), bytes }
      const cpu = await alternate(
        bench.rounds,
        {
          worker: () => measureConsumerCpu(headwater, servers.addresses, load),
          parse: () => measureParse(load.messages, bytes),
        },
        bench.progress.measured,
      )
      ratios.push({
        name: `worker-cpu/${name}/json-parse`,
        bar: { atMost: 3 },
        values: divide(cpu.worker, cpu.parse),
      })
    }
    return {
      ratios,
      contenders: [
        'CPU time of a worker process while it works off a backlog, for each change: reading, ordering, handing over, acknowledging, and the garbage of all that; warmed up',
        `\`worker\`: ${headwater.settings}`,
        '`json-parse`: a process that parses the same payloads, with its garbage',
      ],
      versions: servers.versions,
    }
  },
}

async function measureParse(count: number, bytes: number): Promise<number> {
  await using part = await Part.start<ParseCalls>('parse-process')
  return await part.call('parse', count, bytes)
}
