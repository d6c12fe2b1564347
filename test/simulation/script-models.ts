import { createHash } from 'node:crypto'
import { source as commit } from '../../packages/core/src/group/commit.lua.ts'
import { source as hand } from '../../packages/core/src/group/hand.lua.ts'
import { source as heartbeat } from '../../packages/core/src/group/heartbeat.lua.ts'
import { source as lease } from '../../packages/core/src/group/lease.lua.ts'
import { source as epoch } from '../../packages/core/src/namespace/epoch.lua.ts'
import { source as askRedrive } from '../../packages/core/src/parking/ask-redrive.lua.ts'
import { source as countDeaths } from '../../packages/core/src/parking/count-deaths.lua.ts'
import { source as feedBack } from '../../packages/core/src/parking/feed-back.lua.ts'
import { source as freedKey } from '../../packages/core/src/parking/freed-key.lua.ts'
import { source as noteOffer } from '../../packages/core/src/parking/note-offer.lua.ts'
import { source as park } from '../../packages/core/src/parking/park.lua.ts'
import { source as refuseRedrive } from '../../packages/core/src/parking/refuse-redrive.lua.ts'
import { epochNow, openEpoch } from './epoch-model.ts'
import { addEntry, type RedisStore } from './redis-store.ts'

interface ScriptCall {
  readonly store: RedisStore
  readonly keys: readonly string[]
  readonly args: readonly string[]
  /** By the clock of the server, whole ms. */
  readonly nowMs: number
  /** By which a server tells which one it is. */
  readonly replicationId: string
}

interface ScriptModel {
  readonly name: string
  readonly run: (call: ScriptCall) => unknown
}

/** What is stored of a parked key. */
interface Marker {
  since: string
  first: string
  last: string
  code: string
  reason: string
  count: number
  from?: string
  redrive?: string
  offered?: string
  deaths?: number
  refused?: number
}

/**
 * What the Lua scripts do that workers run, written once more in TypeScript, by the digest under which they are called: a script
 * that changes is not found here any more. That they do the same is what `script-models.test.ts` shows on a real Redis.
 */
export const scriptModels: ReadonlyMap<string, ScriptModel> = new Map(
  (
    [
      ['lease', [epoch, lease], leaseModel],
      ['commit', [commit], commitModel],
      ['hand', [hand], handModel],
      ['heartbeat', [heartbeat], heartbeatModel],
      ['park', [freedKey, park], parkModel],
      ['feed-back', [freedKey, feedBack], feedBackModel],
      ['refuse-redrive', [refuseRedrive], refuseModel],
      ['note-offer', [noteOffer], noteOfferModel],
      ['count-deaths', [countDeaths], countDeathsModel],
      ['ask-redrive', [askRedrive], askRedriveModel],
    ] as const
  ).map(([name, sources, run]) => [
    createHash('sha1').update(sources.join('\n')).digest('hex'),
    { name, run },
  ]),
)

function leaseModel({ store, keys, args, nowMs, replicationId }: ScriptCall): unknown {
  const [action, caller, leaseText, token] = args as [string, string, string, string]
  const [header, group] = keys.map((key) => store.hash(key)) as [Map<string, string>, Map<string, string>]
  if (!header.has('sequence') || !group.has('token')) return ['missing']
  const now = epochNow(header, replicationId, nowMs)
  const { sequence } = now
  const leaseMs = Number(leaseText)
  const owner = group.get('owner')
  const takes = action === 'acquire' || action === 'take'
  if (!takes && (owner !== caller || Number(group.get('token')) !== Number(token))) return ['fenced']
  const expires = Number(group.get('expires') ?? 0) || 0
  const left = Math.min(expires - nowMs, leaseMs)
  const isOthers = owner !== undefined && owner !== caller
  if (takes && isOthers && left > 0 && (action === 'acquire' || group.has('taken'))) {
    if (expires > nowMs + leaseMs) group.set('expires', String(nowMs + leaseMs))
    return ['held', owner, left]
  }
  if (action === 'release') {
    for (const field of ['owner', 'expires', 'taken', 'hand']) group.delete(field)
    return ['released']
  }
  if (now.opens) openEpoch(header, replicationId, now, nowMs)
  if (takes) {
    group.set('token', String(Number(group.get('token')) + 1))
    group.delete('taken')
  }
  let [deaths, inHand, died] = [Number(group.get('deaths') ?? 0), '', 0]
  if (action === 'acquire') {
    if (isOthers) {
      died = 1
      if (sequence > Number(group.get('checkpoint')!.split('-')[1])) {
        deaths++
        inHand = group.get('hand') ?? ''
        group.set('deaths', String(deaths))
      }
    }
    group.delete('hand')
  }
  if (action === 'take') group.set('taken', '1')
  group.set('owner', caller)
  group.set('expires', String(nowMs + leaseMs))
  const [checkpoint, saved, copy] = ['checkpoint', 'saved', 'copy'].map((field) => group.get(field) ?? '')
  const newToken = Number(group.get('token'))
  return ['granted', newToken, checkpoint, saved, now.epoch, sequence, copy, deaths, inHand, died]
}

function isOwner(group: Map<string, string>, owner: string | undefined, token: string | undefined): boolean {
  return group.get('owner') === owner && group.get('token') === token
}

function commitModel({ store, keys, args, nowMs }: ScriptCall): unknown {
  const [name, owner, token, leaseMs, checkpoint, saved, ...entries] = args as [
    string,
    string,
    string,
    string,
    string,
    string,
    ...string[],
  ]
  const group = store.hash(keys[0]!)
  if (!isOwner(group, owner, token)) return 'fenced'
  if (group.get('checkpoint') !== checkpoint) {
    group.delete('damage')
    group.delete('deaths')
  }
  const pending = store.stream(keys[1]!).groups.get(name)
  if (pending) pending.pending = pending.pending.filter((id) => !entries.includes(id))
  const [epochBefore, before] = group.get('checkpoint')!.split('-').map(Number) as [number, number]
  const [ofEpoch, sequence] = checkpoint.split('-').map(Number) as [number, number]
  const isLate = epochBefore > ofEpoch || (epochBefore === ofEpoch && before > sequence)
  if (group.get('committer') === token && isLate) return 'committed'
  group.set('checkpoint', checkpoint)
  group.set('saved', saved)
  group.set('committer', token)
  group.set('expires', String(nowMs + Number(leaseMs)))
  group.set('committed', String(nowMs))
  return 'committed'
}

function handModel({ store, keys, args: [owner, token, what] }: ScriptCall): unknown {
  const group = store.hash(keys[0]!)
  if (!isOwner(group, owner, token)) return 'fenced'
  if (what === '') group.delete('hand')
  else group.set('hand', what!)
  return 'noted'
}

function heartbeatModel({ store, keys, args: [action, worker, leaseText], nowMs }: ScriptCall): unknown {
  const members = store.sortedSet(keys[0]!)
  const leaseMs = Number(leaseText)
  for (const [member, until] of members) if (until <= nowMs) members.delete(member)
  if (action === 'leave') members.delete(worker!)
  else members.set(worker!, nowMs + leaseMs)
  for (const [member, until] of members)
    if (until >= nowMs + leaseMs * 2) members.set(member, nowMs + leaseMs)
  const names = [...members.keys()]
  return names.toSorted((a, b) => members.get(a)! - members.get(b)! || (a < b ? -1 : 1))
}

function parkModel({ store, keys, args, nowMs }: ScriptCall): unknown {
  const [owner, token, mode, keysMax, changesMax, field, code, reason, attempt, ...changes] = args as [
    ...[string, string, string, string, string, string, string, string, string],
    ...string[],
  ]
  const group = store.hash(keys[0]!)
  if (!isOwner(group, owner, token)) return ['fenced']
  if (Number(attempt) <= attemptOf(group.get('parks-over'), token)) return ['late']
  const parkedKeys = store.hash(keys[1]!)
  const stored = parkedKeys.get(field)
  if (stored === undefined && mode === 'divert') return ['absent']
  if (stored === undefined && parkedKeys.size > Number(keysMax)) return ['keys', 0, 0]
  const marker: Marker = stored
    ? (JSON.parse(stored) as Marker)
    : {
        since: String(nowMs),
        first: `${changes[0]}-${changes[1]}`,
        last: '0-0',
        code,
        reason,
        count: 0,
      }
  const [lastEpoch, lastSequence] = marker.last.split('-').map(Number) as [number, number]
  let [answer, aside, added] = ['parked', 0, 0]
  for (let at = 0; at < changes.length; at += 3) {
    const [epochText, sequenceText, copy] = changes.slice(at, at + 3) as [string, string, string]
    const [ofEpoch, sequence] = [Number(epochText), Number(sequenceText)]
    if (ofEpoch > lastEpoch || (ofEpoch === lastEpoch && sequence > lastSequence)) {
      if (marker.count >= Number(changesMax)) {
        answer = 'queue'
        break
      }
      const stamp = `${epochText}-${sequenceText}`
      const id = nextId(store, keys[2]!, nowMs)
      const fields = ['field', field, 'stamp', stamp, 'code', code, 'reason', reason, 'change', copy]
      addEntry(store.stream(keys[2]!), id, fields)
      marker.from ??= id
      marker.last = stamp
      marker.count++
      added++
    }
    aside++
  }
  if (added > 0) {
    parkedKeys.set(field, JSON.stringify(marker))
    if (Number(attempt) > attemptOf(group.get('parks'), token)) group.set('parks', `${token} ${attempt}`)
  }
  return [answer, aside, added]
}

/** The number in "token number", where the token is this one; else 0. */
function attemptOf(text: string | undefined, token: string): number {
  const [of, number] = (text ?? '').split(' ')
  return of === token ? Number(number) : 0
}

function nextId(store: RedisStore, key: string, nowMs: number): string {
  const [ms, count] = store.stream(key).lastId.split('-').map(Number) as [number, number]
  return nowMs > ms ? `${nowMs}-0` : `${ms}-${count + 1}`
}

function feedBackModel({ store, keys, args }: ScriptCall): unknown {
  const [owner, token, field, stamp, from, ...ids] = args as [
    string,
    string,
    string,
    string,
    string,
    ...string[],
  ]
  const group = store.hash(keys[0]!)
  if (!isOwner(group, owner, token)) return 'fenced'
  const parked = store.stream(keys[2]!)
  const before = parked.entries.length
  parked.entries = parked.entries.filter(({ id }) => !ids.includes(id))
  const removed = before - parked.entries.length
  const parkedKeys = store.hash(keys[1]!)
  const stored = parkedKeys.get(field)
  if (stored === undefined) return 'freed'
  const marker = JSON.parse(stored) as Marker
  if (removed === 0 && marker.count > 0) return 'left'
  marker.count -= removed
  if (marker.count <= 0) {
    parkedKeys.delete(field)
    const parks = group.get('parks')
    if (parks !== undefined) group.set('parks-over', parks)
    return 'freed'
  }
  marker.first = stamp
  marker.from = from
  delete marker.offered
  delete marker.deaths
  parkedKeys.set(field, JSON.stringify(marker))
  return 'left'
}

function refuseModel({ store, keys, args }: ScriptCall): unknown {
  const [owner, token, field, code, reason] = args as [string, string, string, string, string]
  if (!isOwner(store.hash(keys[0]!), owner, token)) return 'fenced'
  const marker = markerOf(store.hash(keys[1]!), field)
  if (!marker) return 'absent'
  delete marker.redrive
  delete marker.offered
  delete marker.deaths
  Object.assign(marker, { code, reason, refused: (marker.refused ?? 0) + 1 })
  store.hash(keys[1]!).set(field, JSON.stringify(marker))
  return 'refused'
}

function noteOfferModel({ store, keys, args: [owner, token, what, ...fields] }: ScriptCall): unknown {
  if (!isOwner(store.hash(keys[0]!), owner, token)) return 'fenced'
  for (const field of fields) {
    const marker = markerOf(store.hash(keys[1]!), field)
    if (!marker) continue
    if (what === 'offer') marker.offered = '1'
    else delete marker.offered
    store.hash(keys[1]!).set(field, JSON.stringify(marker))
  }
  return 'noted'
}

function countDeathsModel({ store, keys, args }: ScriptCall): unknown {
  const [owner, token, deathsMax, code, reason] = args as [string, string, string, string, string]
  if (!isOwner(store.hash(keys[0]!), owner, token)) return 'fenced'
  const parkedKeys = store.hash(keys[1]!)
  for (const field of parkedKeys.keys()) {
    const marker = field === '' ? undefined : markerOf(parkedKeys, field)
    if (!marker?.offered) continue
    delete marker.offered
    marker.deaths = (marker.deaths ?? 0) + 1
    if (marker.deaths >= Number(deathsMax)) {
      delete marker.redrive
      delete marker.deaths
      Object.assign(marker, { code, reason, refused: (marker.refused ?? 0) + 1 })
    }
    parkedKeys.set(field, JSON.stringify(marker))
  }
  return 'counted'
}

function askRedriveModel({ store, keys, args: [what, ...fields] }: ScriptCall): unknown {
  const [group, parkedKeys] = keys.map((key) => store.hash(key)) as [Map<string, string>, Map<string, string>]
  let found = 0
  for (const field of fields) {
    const marker = markerOf(parkedKeys, field)
    if (!marker) continue
    found++
    if (what === 'ask') marker.redrive = '1'
    else delete marker.redrive
    parkedKeys.set(field, JSON.stringify(marker))
  }
  group.set('redrives', String(Number(group.get('redrives') ?? 0) + 1))
  return found
}

function markerOf(parkedKeys: ReadonlyMap<string, string>, field: string): Marker | undefined {
  const stored = parkedKeys.get(field)
  return stored === undefined || stored === '' ? undefined : (JSON.parse(stored) as Marker)
}
