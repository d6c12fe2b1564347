import { measureThroughput, type Throughput } from '../src/measure-system.ts'
import { packageVersions } from '../src/package-versions.ts'
import { scaled, type Question, type Ratio } from '../src/question.ts'
import { alternate, divide } from '../src/rounds.ts'
import { startServers } from '../src/servers.ts'
import type { System } from '../src/system.ts'
import { system as bullmq } from '../systems/bullmq.ts'
import { system as emmett } from '../systems/emmett.ts'
import { system as headwater } from '../systems/headwater.ts'
import { system as jetstream } from '../systems/jetstream.ts'
import { system as moleculerChannels } from '../systems/moleculer-channels.ts'
import { system as pgBoss } from '../systems/pg-boss.ts'

/** With how much faster than each we want to be. */
const peers: readonly { readonly system: System; readonly atLeast?: number }[] = [
  { system: bullmq, atLeast: 20 },
  { system: jetstream, atLeast: 5 },
  { system: moleculerChannels, atLeast: 30 },
  { system: pgBoss, atLeast: 30 },
  { system: emmett },
]

export const peersQuestion: Question = {
  name: 'peers',
  asks: 'How fast is the same way against job queues, brokers and event stores, through their Node clients?',
  async answer(bench) {
    const missing: Record<string, string> = {}
    const all = [{ system: headwater }, ...peers]
    await using servers = await startServers(
      all.flatMap(({ system }) => system.needs),
      (server, reason) => {
        for (const { system } of all) if (system.needs.includes(server)) missing[system.name] = reason
      },
    )
    const measured = all.filter(({ system }) => !(system.name in missing))
    const measure = (system: System) => async (): Promise<Throughput> => {
      try {
        const load = { messages: scaled(system.messages, bench), bytes: 100 }
        return await measureThroughput(system, servers.addresses, load)
      } catch (error) {
        // What a peer cannot do is told, and does not end a long run.
        if (system === headwater) throw error
        missing[system.name] = error instanceof Error ? error.message : String(error)
        return { flow: NaN, backlog: NaN }
      }
    }
    const rates = await alternate(
      bench.rounds,
      Object.fromEntries(measured.map(({ system }) => [system.name, measure(system)])),
      bench.progress.measured,
    )
    const ratios = peers
      .filter(({ system }) => !(system.name in missing))
      .flatMap(({ system, atLeast }) =>
        (['flow', 'backlog'] as const).map((phase): Ratio => {
          const phases = (of: System) => (rates[of.name] ?? []).map((one) => one[phase] ?? NaN)
          return {
            name: `peers/${phase}/${system.name}`,
            ...(atLeast !== undefined && { bar: { atLeast } }),
            values: divide(phases(headwater), phases(system)),
          }
        }),
      )
    return {
      ratios,
      contenders: [
        '`flow` and `backlog` as in sync; job queues keep retries and states for each job, which is more than a log does',
        ...measured.map(({ system: { name, settings } }) => `\`${name}\`: ${settings}`),
      ],
      versions: { ...servers.versions, ...packageVersions(measured.map(({ system }) => system)) },
      missing,
    }
  },
}
