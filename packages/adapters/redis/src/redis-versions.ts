import { HeadwaterError, type Sink, type SinkVersions } from '@headwater/core'
import type { RedisClient } from './redis-client.ts'
import { listRows } from './redis-compare.ts'
import type { RedisTarget } from './redis-target.ts'
import {
  booksOf,
  claimDatabase,
  dropDatabase,
  endVersion,
  forgetGroup,
  publishVersion,
  swapDatabases,
  unlinkKeys,
  versionIn,
} from './version-scripts.ts'

/** How new versions of a copy stand beside the present one, and how readers come to them. */
export interface VersionedTarget<T> {
  /** The version that readers see. */
  present(): Promise<RedisTarget>
  /** Of `present`, in case there is nothing yet. */
  prepare(): Promise<void>
  readonly versions: SinkVersions<T>
}

const keysAtOnce = 500

/**
 * Versions under different key names; a pointer key holds the number of the one that readers are to read.
 *
 * What decides is one step in the bookkeeping of the version before: from then on nobody can write that one. Then the pointer
 * is set, by the same process or, where that died in between, by whoever opens a partition next.
 */
export function pointedVersions<T>(
  pointer: string,
  targetOf: (version: number) => RedisTarget,
  sinkOn: (target: RedisTarget) => Sink<T>,
): VersionedTarget<T> {
  const first = targetOf(1)

  async function current(): Promise<number> {
    let version = await versionIn(first, pointer)
    if (version === undefined) throw await pointerIsGone()
    for (;;) {
      const next = (await booksOf(targetOf(version)))?.next
      if (next === undefined) return version
      version = await publishVersion(first, pointer, version, next)
    }
  }

  async function pointerIsGone(): Promise<HeadwaterError> {
    const kept: number[] = []
    for (let version = 1; kept.length === version - 1; version++) {
      const books = await booksOf(targetOf(version))
      if (books) kept.push(version)
    }
    return new HeadwaterError(
      'SINK_MISCONFIGURED',
      `The pointer ${JSON.stringify(pointer)} of the ${first.name} is gone, and there is bookkeeping of version ${kept.join(', ') || 'none'}: set it to the version that readers had.`,
    )
  }

  async function others(present: number): Promise<number[]> {
    const found: number[] = []
    for (let version = 1; version <= present + 1; version++) {
      if (version !== present && (await booksOf(targetOf(version)))) found.push(version)
    }
    return found
  }

  return {
    present: async () => targetOf(await current()),
    async prepare() {
      if ((await versionIn(first, pointer)) !== undefined) return
      if (await booksOf(first)) throw await pointerIsGone()
      await publishVersion(first, pointer, undefined, 1)
    },
    versions: {
      async list() {
        const present = await current()
        return { current: present, others: await others(present) }
      },
      open: (version) => sinkOn(targetOf(version)),
      async switchTo(version, right) {
        const present = await current()
        if (present === version) return
        await forgetGroup(targetOf(version), right.builtBy, right.fences.length)
        await endVersion(targetOf(present), version, right)
        await publishVersion(first, pointer, present, version)
      },
      async drop(version) {
        if ((await current()) === version) throw isCurrent(first, version)
        const target = targetOf(version)
        const books = await booksOf(target)
        if (!books) return
        let dataKeys: string[] = []
        for await (const { key, deleted } of listRows(target)) {
          if (!deleted) dataKeys.push(target.dataKeys.of(key))
          if (dataKeys.length < keysAtOnce) continue
          await unlinkKeys(target, dataKeys)
          dataKeys = []
        }
        if (dataKeys.length > 0) await unlinkKeys(target, dataKeys)
        const sums = books.partitions.flatMap((partition) => target.keys.sumsOf?.(partition) ?? [])
        const { progress } = target.keys
        const places = target.keys.allPlaces().flatMap(({ rows, fences }) => [rows, fences])
        await unlinkKeys(target, [...places.filter((key) => key !== progress), ...sums])
        // Last: as long as it is there, the version is.
        await unlinkKeys(target, [progress])
      },
    },
  }
}

/** Versions in two databases of one server: the spare one takes the place of the present one, for all clients at once. */
export function swappedVersions<T>(
  target: RedisTarget,
  spareClient: RedisClient,
  versionKey: string,
  sinkOn: (target: RedisTarget, prepare?: () => Promise<void>) => Sink<T>,
): VersionedTarget<T> {
  const spare: RedisTarget = { ...target, client: spareClient, name: `${target.name} in the spare database` }
  const databases = [target.client.options.db ?? 0, spareClient.options.db ?? 0] as const
  const current = async (): Promise<number> => (await versionIn(target, versionKey)) ?? 1
  return {
    present: async () => target,
    prepare: async () => {},
    versions: {
      async list() {
        const other = await versionIn(spare, versionKey)
        return { current: await current(), others: other === undefined ? [] : [other] }
      },
      open: (version) => sinkOn(spare, () => claimDatabase(spare, versionKey, version)),
      async switchTo(version, right) {
        const present = await current()
        if (present !== version) {
          await claimDatabase(spare, versionKey, version)
          await swapDatabases(target, versionKey, databases, [version, present], right)
        }
        await forgetGroup(target, right.builtBy, right.fences.length)
      },
      async drop(version) {
        if ((await current()) === version) throw isCurrent(target, version)
        await dropDatabase(spare, versionKey, version)
      },
    },
  }
}

function isCurrent({ name }: RedisTarget, version: number): HeadwaterError {
  return new HeadwaterError(
    'OPTION_INVALID',
    `Version ${version} of the ${name} is the one that readers see: it stays.`,
  )
}
