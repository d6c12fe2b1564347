import type { LineChart } from '../src/line-chart.ts'
import { openConsumer, openProducer } from '../src/measure-system.ts'
import type { Question } from '../src/question.ts'
import { median } from '../src/rounds.ts'
import { startServers } from '../src/servers.ts'
import { system as headwater } from '../systems/headwater.ts'

const minutes = 30
const perSecond = 2_000
const sliceSeconds = 10
const bytes = 100

export const endurance: Question = {
  name: 'endurance',
  asks: 'Does a worker grow with time?',
  async answer(bench) {
    await using servers = await startServers(headwater.needs)
    await headwater.reset(servers.addresses)
    await using consumer = await openConsumer(headwater, servers.addresses, false)
    await using producer = await openProducer(headwater, servers.addresses)
    await consumer.call('start')
    const slices = Math.max(4, Math.round((minutes * 60 * bench.scale) / sliceSeconds))
    const seconds = Math.max(0.2, Math.min(sliceSeconds, (minutes * 60 * bench.scale) / slices))
    const count = Math.round(seconds * perSecond)
    const megabytes: number[] = []
    for (let slice = 0; slice < slices; slice++) {
      await producer.call('sendAtRate', slice * count, count, perSecond, bytes)
      megabytes.push((await consumer.call('resident')) / 2 ** 20)
      if (slice % 18 === 0) bench.progress.say(`${megabytes.at(-1)!.toFixed(0)} MiB`)
    }
    await consumer.call('caughtUp', slices * count)
    await Promise.all([producer.call('close'), consumer.call('close')])
    const quarter = Math.floor(slices / 4)
    const [second, last] = [megabytes.slice(quarter, 2 * quarter), megabytes.slice(-quarter)]
    return {
      ratios: [
        {
          name: 'endurance/last-quarter/second-quarter',
          bar: { atMost: 1.1 },
          values: [median(last) / median(second)],
        },
      ],
      charts: [chartOf(megabytes.map((value, slice) => [((slice + 1) * seconds) / 60, value]))],
      contenders: [
        `resident memory of a worker that applies ${perSecond} new keys a second to a second Redis for ${minutes} minutes, every ${sliceSeconds} seconds; the median of the last quarter of that time against that of the second, since in the first one the code is compiled and the heap finds its size; measured once`,
      ],
      versions: servers.versions,
    }
  },
}

function chartOf(points: readonly (readonly [minute: number, megabytes: number])[]): LineChart {
  const highest = Math.max(...points.map(([, megabytes]) => megabytes))
  const step = Math.ceil(highest / 4 / 25) * 25
  return {
    name: 'endurance',
    title: 'Memory of a worker over time',
    x: { label: 'minutes', ticks: [0, 10, 20, 30].map((minute) => [minute, String(minute)]) },
    y: { label: 'MiB resident', ticks: [0, 1, 2, 3, 4].map((at) => [at * step, String(at * step)]) },
    lines: [{ label: 'headwater', points }],
  }
}
