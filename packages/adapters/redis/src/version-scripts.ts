import { HeadwaterError, type SwitchRight } from '@headwater/core'
import { source as claimSource } from './claim-database.lua.ts'
import { source as dropDatabaseSource } from './drop-database.lua.ts'
import { source as forgetSource } from './forget-group.lua.ts'
import { source as nextSource } from './next-version.lua.ts'
import { formatFence } from './partition-scripts.ts'
import { placesAtOnce } from './place-pages.ts'
import { source as publishSource } from './publish-version.lua.ts'
import { runScript, type RedisTarget } from './redis-target.ts'
import { textReply } from './reply.ts'
import { script } from './script.ts'
import { source as showSource } from './show-version.lua.ts'
import { source as swapSource } from './swap-version.lua.ts'
import { source as switchSource } from './switch-version.lua.ts'
import { source as unlinkSource } from './unlink-keys.lua.ts'

const publishScript = script(publishSource)
const showScript = script(showSource)
const nextScript = script(nextSource)
const switchScript = script(switchSource)
const swapScript = script(swapSource)
const forgetScript = script(forgetSource)
const unlinkScript = script(unlinkSource)
const claimScript = script(claimSource)
const dropDatabaseScript = script(dropDatabaseSource)

/** The version in a key that holds one; undefined where there is none. */
export async function versionIn(target: RedisTarget, key: string): Promise<number | undefined> {
  const [text = ''] = textReply(await runScript(target, showScript, { keys: [key], args: [] }))
  if (text === '') return undefined
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw new HeadwaterError(
    'SINK_MISCONFIGURED',
    `The key ${JSON.stringify(key)} of the ${target.name} is to hold the number of a version, and holds ${JSON.stringify(text.slice(0, 40))}.`,
  )
}

/** Shows readers a version in place of the one before; returns what they are shown now. */
export async function publishVersion(
  target: RedisTarget,
  pointer: string,
  before: number | undefined,
  version: number,
): Promise<number> {
  const args = [before === undefined ? '' : String(before), String(version)]
  const [shown = ''] = textReply(await runScript(target, publishScript, { keys: [pointer], args }))
  return Number(shown)
}

/** What the bookkeeping of a version says; undefined where it has none. */
export async function booksOf(
  target: RedisTarget,
): Promise<{ readonly next: number | undefined; readonly partitions: readonly number[] } | undefined> {
  const input = { keys: [target.keys.progress], args: [] }
  const [answer, next = '', ...fields] = textReply(await runScript(target, nextScript, input))
  if (answer === 'none') return undefined
  const partitions = new Set(fields.flatMap((field) => /^fence (\d+) /.exec(field)?.[1] ?? []))
  return { next: next === '' ? undefined : Number(next), partitions: [...partitions].map(Number) }
}

/** @throws HeadwaterError SINK_FENCED */
export async function endVersion(target: RedisTarget, next: number, right: SwitchRight): Promise<void> {
  const args = [String(next), right.group, ...right.fences.map(formatFence)]
  refuseUnlessHeld(target, await runScript(target, switchScript, { keys: [target.keys.progress], args }))
}

/** @throws HeadwaterError SINK_FENCED */
export async function swapDatabases(
  target: RedisTarget,
  versionKey: string,
  databases: readonly [present: number, spare: number],
  versions: readonly [next: number, before: number],
  right: SwitchRight,
): Promise<void> {
  const args = [...databases, ...versions].map(String)
  const keys = [target.keys.progress, versionKey]
  const input = { keys, args: [...args, right.group, ...right.fences.map(formatFence)] }
  refuseUnlessHeld(target, await runScript(target, swapScript, input))
}

export async function forgetGroup(target: RedisTarget, group: string, partitions: number): Promise<void> {
  const input = { keys: [target.keys.progress], args: [group, String(partitions)] }
  await runScript(target, forgetScript, input)
}

/** Removes keys, those of one place in one step. */
export async function unlinkKeys(target: RedisTarget, keys: readonly string[]): Promise<void> {
  const places = new Map<string, string[]>()
  for (const key of keys) {
    const { rows } = target.keys.placeOf(key)
    const place = places.get(rows)
    if (place) place.push(key)
    else places.set(rows, [key])
  }
  const together = [...places.values()]
  for (let from = 0; from < together.length; from += placesAtOnce) {
    const some = together.slice(from, from + placesAtOnce)
    await Promise.all(some.map((of) => runScript(target, unlinkScript, { keys: of, args: [] })))
  }
}

/** @throws HeadwaterError SINK_MISCONFIGURED where the database is not empty */
export async function claimDatabase(target: RedisTarget, versionKey: string, version: number): Promise<void> {
  const input = { keys: [versionKey], args: [String(version)] }
  const [answer, detail = ''] = textReply(await runScript(target, claimScript, input))
  if (answer === 'done') return
  throw new HeadwaterError(
    'SINK_MISCONFIGURED',
    answer === 'other'
      ? `The spare database of the ${target.name} holds version ${detail}: drop that one first.`
      : `The spare database of the ${target.name} holds ${detail} keys that are not of this sink: give it an empty one.`,
  )
}

/** @throws HeadwaterError SINK_MISCONFIGURED where it holds another version */
export async function dropDatabase(target: RedisTarget, versionKey: string, version: number): Promise<void> {
  const input = { keys: [versionKey], args: [String(version)] }
  const [answer, detail = ''] = textReply(await runScript(target, dropDatabaseScript, input))
  if (answer === 'done') return
  throw new HeadwaterError(
    'SINK_MISCONFIGURED',
    `The spare database of the ${target.name} holds version ${detail}, not ${version}.`,
  )
}

function refuseUnlessHeld({ name }: RedisTarget, reply: unknown): void {
  const [answer, detail = '', partition] = textReply(reply)
  if (answer === 'done') return
  const owner = detail.split(' ').slice(2).join(' ') || 'nobody'
  throw new HeadwaterError(
    'SINK_FENCED',
    `The version of the ${name} cannot be switched: partition ${partition} was opened by ${owner} since.`,
  )
}
