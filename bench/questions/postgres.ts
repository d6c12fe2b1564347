import { measureSending, measureThroughput } from '../src/measure-system.ts'
import { packageVersions } from '../src/package-versions.ts'
import { scaled, type Question } from '../src/question.ts'
import { alternate, divide } from '../src/rounds.ts'
import { startServers } from '../src/servers.ts'
import type { System } from '../src/system.ts'
import { system as headwater } from '../systems/headwater-postgres.ts'
import { system as rowByRow } from '../systems/row-by-row.ts'
import { system as upsertLoop } from '../systems/upsert-loop.ts'

const systems = [headwater, upsertLoop, rowByRow]

export const postgres: Question = {
  name: 'postgres',
  asks: 'How fast does a change get from append() to committed in Postgres, against loops that only write?',
  async answer(bench) {
    await using servers = await startServers(systems.flatMap(({ needs }) => needs))
    const load = (system: System) => ({ messages: scaled(system.messages, bench), bytes: 100 })
    const onlyWrite = (system: System) => () => measureSending(system, servers.addresses, load(system))
    const rates = await alternate(
      bench.rounds,
      {
        headwater: async () => (await measureThroughput(headwater, servers.addresses, load(headwater))).flow,
        'upsert-loop': onlyWrite(upsertLoop),
        'row-by-row': onlyWrite(rowByRow),
      },
      bench.progress.measured,
    )
    return {
      ratios: [
        {
          name: 'postgres/flow/upsert-loop',
          bar: { atLeast: 0.9 },
          values: divide(rates.headwater, rates['upsert-loop']),
        },
        {
          name: 'postgres/flow/row-by-row',
          bar: { atLeast: 20 },
          values: divide(rates.headwater, rates['row-by-row']),
        },
      ],
      contenders: [
        'producer and worker side by side, a process each, until the last change is committed and acknowledged; the loops have everything in memory; commits wait for the disk; JSON of 100 bytes',
        ...systems.map(({ name, settings }) => `\`${name}\`: ${settings}`),
      ],
      versions: { ...servers.versions, ...packageVersions(systems) },
    }
  },
}
