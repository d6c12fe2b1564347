import { HeadwaterError, isHeadwaterError, type Replacement, type ReplaceOutcome } from '@headwater/core'
import { partsOf } from './apply-script.ts'
import { source as markSource } from './mark.lua.ts'
import { dataType, runScript, type RedisTarget } from './redis-target.ts'
import { source as replaceSource } from './replace.lua.ts'
import { rowRecord } from './row-record.ts'
import { script } from './script.ts'
import { source as sumsSource } from './sums.lua.ts'

const replaceScript = script(markSource, sumsSource, replaceSource)

/** Puts keys right, each in one atomic step. */
export async function replaceRows(
  target: RedisTarget,
  replacements: readonly Replacement[],
): Promise<readonly ReplaceOutcome[]> {
  return await Promise.all(replacements.map((replacement) => replaceRow(target, replacement)))
}

async function replaceRow(
  target: RedisTarget,
  { key, partition, observed, change }: Replacement,
): Promise<ReplaceOutcome> {
  let dataKey: string
  let parts: readonly string[]
  try {
    dataKey = target.dataKeys.of(key)
    parts = change ? partsOf(change, target.layout) : []
  } catch (error) {
    if (isHeadwaterError(error, 'SINK_REJECTED')) return { kind: 'reject', error }
    throw error
  }
  const { rows } = target.keys.placeOf(dataKey)
  const sums = target.keys.sumsOf?.(partition) ?? rows
  const record = change ? rowRecord(change) : ''
  const args = [dataType(target.layout), observed?.mark ?? '', record, String(partition), ...parts]
  const answer = String(await runScript(target, replaceScript, { keys: [rows, dataKey, sums], args }))
  if (answer === 'replaced' || answer === 'changed') return { kind: answer }
  const what = `its Redis key ${JSON.stringify(dataKey)} holds a ${answer.slice('type '.length)}`
  const message = `The entity ${JSON.stringify(key)} cannot be stored: ${what}, which is not ours to overwrite.`
  return { kind: 'reject', error: new HeadwaterError('SINK_REJECTED', message) }
}
