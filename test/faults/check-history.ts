import type { RawChange } from '../support/raw-log.ts'
import type { AuditFindings } from './audit.ts'
import type { HistoryOfAttempt, Told } from './history-file.ts'
import type { Term } from './probe.ts'

/** What the writers wrote down, and what was found in the end. */
export interface Evidence {
  readonly attempts: readonly HistoryOfAttempt[]
  /** By partition: what its stream holds. */
  readonly log: readonly (readonly RawChange[])[]
  /** By partition: up to which sequence each epoch inherited the ones before it. */
  readonly inherited: readonly ReadonlyMap<number, number>[]
  /** By name: what each sink holds, read with its own client: content by key. */
  readonly sinks: ReadonlyMap<string, ReadonlyMap<string, string>>
  /** What a probe saw of one key of a sink, one after the other; undefined while it was absent. */
  readonly seen: readonly {
    readonly sink: string
    readonly key: string
    readonly contents: readonly (string | undefined)[]
  }[]
  /** By group and partition: who was its owner, one after the other. */
  readonly terms: ReadonlyMap<string, readonly Term[]>
  /** What triggers in the table's database saw. */
  readonly audit: AuditFindings
}

/** What a breach is of. */
export type BreachKind =
  /** Acknowledged, and not there. */
  | 'lost'
  /** There twice, or acknowledged twice as something new. */
  | 'doubled'
  /** Numbers with gaps or repeats, expectations that did not hold. */
  | 'out of order'
  /** A sink that went back to something older, or is not the fold of the log. */
  | 'sink'
  /** An effect of somebody whose time was over. */
  | 'zombie'
  /** Refused and there all the same, refused without a reason, or never attempted. */
  | 'strange'

interface Breach {
  readonly kind: BreachKind
  readonly what: string
}

type Tell = (kind: BreachKind, what: string) => void

export interface Verdict {
  /** What must not be; empty when all is well. */
  readonly breaches: readonly Breach[]
  readonly counts: {
    readonly attempts: number
    readonly stored: number
    readonly conflicts: number
    readonly unknown: number
    readonly refused: number
    readonly repeated: number
    /** Acknowledged, and lost with a tail that a later epoch did not inherit. */
    readonly lost: number
    /** Keys whose value at a sink is of a lost tail, and that nothing newer has replaced. */
    readonly orphans: number
  }
}

interface Place {
  readonly partition: number
  readonly epoch: number
  readonly sequence: number
}

type Stored = Extract<Told, { kind: 'stored' }>

/**
 * Judges a history by set arithmetic, without any code of the system under test: what was acknowledged is there, what was
 * refused is not, nothing is there twice, numbers are dense, expectations held, and the sinks are the fold of the log.
 */
export function checkHistory(evidence: Evidence): Verdict {
  const { attempts, log, inherited } = evidence
  const breaches: Breach[] = []
  const isLost = ({ partition, epoch, sequence }: Place): boolean =>
    [...inherited[partition]!].some(([later, upTo]) => later > epoch && sequence > upTo)
  const breach: Tell = (kind, what) => void breaches.push({ kind, what })

  checkNumbers(log, isLost, breach)
  const written = log.map((changes) => changes.filter((change) => !isMarker(change)))
  const placeOf = checkIds(attempts, written, breach)
  const lost = checkAcknowledged(attempts, log, isLost, breach)
  checkRefused(attempts, placeOf, breach)
  checkExpectations(attempts, written, breach)
  const orphans = checkSinks({ ...evidence, log: written }, placeOf, breach)
  checkSeen(evidence, placeOf, breach)
  checkTerms(evidence, breach)

  const told = attempts.flatMap((of) => of.told)
  const count = (kind: Told['kind']): number => told.filter((one) => one.kind === kind).length
  return {
    breaches,
    counts: {
      attempts: attempts.length,
      stored: count('stored'),
      conflicts: count('conflict'),
      unknown: count('unknown') + attempts.filter((of) => of.told.length === 0).length,
      refused: count('refused'),
      repeated: attempts.filter((of) => of.told.length > 1).length,
      lost: lost.size,
      orphans,
    },
  }
}

/** What the log puts in by itself, at which sinks prove what they hold. */
function isMarker({ collection }: RawChange): boolean {
  return collection === 'headwater-marker'
}

/** Sequences are dense in each partition, versions for each key; epochs never fall, and hold nothing that was lost. */
function checkNumbers(log: Evidence['log'], isLost: (place: Place) => boolean, breach: Tell): void {
  for (const [partition, changes] of log.entries()) {
    const versions = new Map<string, number>()
    for (const [at, change] of changes.entries()) {
      const { sequence, epoch, key, version } = change
      const where = `partition ${partition}, sequence ${sequence}`
      if (sequence !== at + 1) breach('out of order', `${where}: place ${at + 1} of the stream`)
      if (at > 0 && epoch < changes[at - 1]!.epoch)
        breach('out of order', `${where}: epoch ${epoch} after a later one`)
      if (isLost({ partition, epoch, sequence }))
        breach('out of order', `${where}: epoch ${epoch} was lost here`)
      if (isMarker(change)) continue
      const before = versions.get(key) ?? 0
      if (version !== before + 1)
        breach('out of order', `${where}: version ${version} of ${key} after ${before}`)
      versions.set(key, version)
    }
  }
}

/** Every change is of an attempt, as it was attempted, and of no attempt twice. Returns where each id stands. */
function checkIds(attempts: Evidence['attempts'], log: Evidence['log'], breach: Tell): Map<string, Place> {
  const attemptOf = new Map(attempts.map(({ attempt }) => [attempt.id, attempt]))
  const placeOf = new Map<string, Place>()
  for (const [partition, changes] of log.entries()) {
    for (const { sequence, epoch, key, kind, payload, metadata } of changes) {
      const id = metadata['id'] ?? 'nobody'
      const where = `partition ${partition}, sequence ${sequence}`
      const attempt = attemptOf.get(id)
      if (!attempt) breach('strange', `${where}: ${id} was never attempted`)
      else if (
        attempt.key !== key ||
        attempt.kind !== kind ||
        contentOf(payload) !== (kind === 'put' ? id : undefined)
      )
        breach('strange', `${where}: ${id} is not what was attempted`)
      if (placeOf.has(id))
        breach('doubled', `${where}: ${id} stands at sequence ${placeOf.get(id)!.sequence} too`)
      placeOf.set(id, { partition, epoch, sequence })
    }
  }
  return placeOf
}

/** What was acknowledged is where the acknowledgement said, or was lost with a tail. Returns the lost ones by content. */
function checkAcknowledged(
  attempts: Evidence['attempts'],
  log: Evidence['log'],
  isLost: (place: Place) => boolean,
  breach: Tell,
): Map<string, Place> {
  const lost = new Map<string, Place>()
  for (const { attempt, told } of attempts) {
    const answers = told.filter((one): one is Stored => one.kind === 'stored')
    const surviving = answers.filter(({ position }) => !isLost(placeAt(position)))
    for (const { position } of answers) if (isLost(placeAt(position))) lost.set(attempt.id, placeAt(position))
    for (const { position, version } of surviving) {
      const { partition, sequence, epoch } = placeAt(position)
      const change = log[partition]?.[sequence - 1]
      if (change?.metadata['id'] !== attempt.id || change.epoch !== epoch)
        breach(
          'lost',
          `${attempt.id} was acknowledged at ${position}, where ${change?.metadata['id'] ?? 'nothing'} stands`,
        )
      else if (version !== versionText(change))
        breach(
          'out of order',
          `${attempt.id} was acknowledged with version ${version} instead of ${versionText(change)}`,
        )
    }
    const positions = new Set(surviving.map(({ position }) => position))
    if (positions.size > 1)
      breach('doubled', `${attempt.id} was acknowledged at ${[...positions].join(' and ')}`)
    if (surviving.slice(1).some(({ duplicate }) => !duplicate))
      breach('doubled', `${attempt.id} was acknowledged again, and not called a duplicate`)
  }
  return lost
}

/** That Redis is away, or full. */
const expectedRefusals: ReadonlySet<string> = new Set(['REDIS_UNAVAILABLE', 'REDIS_FULL'])

/** What was only ever refused is not there; and nothing was refused for reasons that these faults do not give. */
function checkRefused(
  attempts: Evidence['attempts'],
  placeOf: ReadonlyMap<string, Place>,
  breach: Tell,
): void {
  for (const { attempt, told } of attempts) {
    const isRefused = told.length > 0 && told.every(({ kind }) => kind === 'conflict' || kind === 'refused')
    if (isRefused && placeOf.has(attempt.id))
      breach('strange', `${attempt.id} was refused, and is there: ${JSON.stringify(told)}`)
    for (const one of told) {
      if (one.kind === 'refused' && !expectedRefusals.has(one.code))
        breach('strange', `${attempt.id} was refused with ${one.code}: ${one.why}`)
    }
  }
}

/** Each change stands where its key was as it expected. */
function checkExpectations(attempts: Evidence['attempts'], log: Evidence['log'], breach: Tell): void {
  const attemptOf = new Map(attempts.map(({ attempt }) => [attempt.id, attempt]))
  for (const changes of log) {
    const latest = new Map<string, RawChange>()
    for (const change of changes) {
      const before = latest.get(change.key)
      const live = before?.kind === 'put'
      const { expected = 'any', id = '' } = attemptOf.get(change.metadata['id'] ?? '') ?? {}
      const held =
        expected === 'any' ||
        (expected === 'absent' && !live) ||
        (expected === 'exists' && live) ||
        (before !== undefined && expected === versionText(before))
      if (!held)
        breach(
          'out of order',
          `${id} expected ${expected}, and was stored on ${before ? versionText(before) : 'nothing'}`,
        )
      latest.set(change.key, change)
    }
  }
}

/** Each sink is the fold of the log, but for keys that only a lost tail has touched. Returns how many these are. */
function checkSinks(
  { attempts, log, sinks, inherited }: Evidence,
  placeOf: ReadonlyMap<string, Place>,
  breach: Tell,
): number {
  const folded = new Map<string, RawChange>()
  const partitionOf = new Map<string, number>()
  for (const [partition, changes] of log.entries()) {
    for (const change of changes) {
      folded.set(change.key, change)
      partitionOf.set(change.key, partition)
    }
  }
  const lastEpochs = inherited.map((of) => Math.max(...of.keys()))
  const isUntouchedSinceFork = (key: string): boolean => {
    const partition = partitionOf.get(key)
    if (partition === undefined) return Math.max(...lastEpochs) > 1
    return lastEpochs[partition]! > folded.get(key)!.epoch
  }
  // With a tail went also changes of which nobody was told.
  const gone = attempts.filter(
    ({ attempt, told }) =>
      !placeOf.has(attempt.id) && !told.some(({ kind }) => kind === 'conflict' || kind === 'refused'),
  )
  let orphans = 0
  for (const [name, rows] of sinks) {
    for (const key of new Set([...rows.keys(), ...folded.keys()])) {
      const last = folded.get(key)
      const owed = last?.kind === 'put' ? contentOf(last.payload) : undefined
      const held = rows.get(key)
      if (held === owed) continue
      const isOfTail = gone.some(
        ({ attempt }) =>
          attempt.key === key && (attempt.kind === 'put' ? attempt.id === held : held === undefined),
      )
      if (isUntouchedSinceFork(key) && isOfTail) orphans++
      else breach('sink', `${name} holds ${held ?? 'nothing'} of ${key} instead of ${owed ?? 'nothing'}`)
    }
  }
  return orphans
}

/**
 * What a probe saw of a key is never older than what it had seen of it. Except in a tail that was lost: an append that was
 * under way when the servers changed may have been stored there and seen, and stored again by its own retry, of which the
 * writer was told only the second place. So all places of one lost tail count as one.
 */
function checkSeen(
  { seen, attempts, inherited }: Evidence,
  placeOf: ReadonlyMap<string, Place>,
  breach: Tell,
): void {
  const places = new Map<string, Place[]>()
  const add = (id: string, place: Place): void => {
    const ends = [...inherited[place.partition]!].filter(([epoch]) => epoch > place.epoch)
    const kept = Math.min(...ends.map(([, upTo]) => upTo))
    const inTail = place.sequence > kept ? { ...place, sequence: kept + 0.5 } : place
    places.set(id, [...(places.get(id) ?? []), inTail])
  }
  for (const [id, place] of placeOf) add(id, place)
  for (const { attempt, told } of attempts) {
    for (const one of told) if (one.kind === 'stored') add(attempt.id, placeAt(one.position))
    const place = placeOf.get(attempt.id)
    if (!place) continue
    // What expects a version of an epoch was begun in it, or later.
    const [, begun = '1'] = attempt.expected.split('@')
    for (const epoch of inherited[place.partition]!.keys()) {
      if (epoch >= Number(begun) && epoch < place.epoch)
        add(attempt.id, { ...place, epoch, sequence: Number.MAX_SAFE_INTEGER })
    }
  }
  for (const { sink, key, contents } of seen) {
    let newest: Place | undefined
    for (const content of contents) {
      const known = content === undefined ? [] : (places.get(content) ?? [])
      if (known.length === 0) continue
      const fitting = known.filter((place) => !newest || compare(place, newest) >= 0).toSorted(compare)
      if (fitting.length === 0) breach('sink', `${sink} went back to ${content} of ${key}`)
      else newest = fitting[0]
    }
  }
}

/** Tokens never fall while a server lives; what it takes over from another may be older; and no write under an older fence came after a newer one. */
function checkTerms({ terms, audit }: Evidence, breach: Tell): void {
  for (const [where, list] of terms) {
    for (const [at, { server, token }] of list.entries()) {
      const before = list[at - 1]
      if (before?.server === server && token < before.token)
        breach('zombie', `${where}: token ${token} after ${before.token}`)
    }
  }
  for (const what of audit.zombies) breach('zombie', `table: ${what}`)
  for (const what of audit.wentBack) breach('sink', `table went back: ${what}`)
}

function compare(a: Place, b: Place): number {
  return a.epoch - b.epoch || a.sequence - b.sequence
}

function placeAt(position: string): Place {
  const [partition, epoch, sequence] = position.split(/[:-]/).map(Number) as [number, number, number]
  return { partition, epoch, sequence }
}

function versionText({ version, epoch }: { version: number; epoch: number }): string {
  return epoch === 1 ? `${version}` : `${version}@${epoch}`
}

function contentOf(payload: string): string | undefined {
  return payload === '' ? undefined : (JSON.parse(payload) as { content: string }).content
}
