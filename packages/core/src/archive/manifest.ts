import type { Stamp } from '../change/stamp.ts'
import { HeadwaterError } from '../errors/headwater-error.ts'
import type { ArchiveStore } from './archive-store.ts'
import { pieceBytesMax } from './segment.ts'

/** A segment, as the manifest lists it: a run of entries of one partition. */
export interface SegmentEntry {
  readonly file: string
  readonly entries: number
  /** Sequence of the first change, and the stamp of the last. */
  readonly first: number
  readonly last: Stamp
  /** When Redis stored the first and the last entry, ms since 1970. */
  readonly from: number
  readonly to: number
  /** Of the compressed piece. */
  readonly bytes: number
  readonly sha256: string
}

/** What is in the archive of one partition, in the order of the log. */
export interface Manifest {
  readonly format: 1
  readonly partition: number
  /** Of the archiver that wrote it: a greater one is in force. */
  readonly token: number
  readonly segments: readonly SegmentEntry[]
}

/** Which log's, so that the archives of several can lie in one place. */
export interface ArchivedLog {
  readonly namespace: string
  readonly lineage: string
}

export function folderOf({ namespace, lineage }: ArchivedLog, partition: number): string {
  return `${namespace}-${lineage}/${partition}`
}

/**
 * The manifest in force. Each archiver writes one under its own token, so one that was overtaken by another cannot take
 * anything back: readers pass its manifest over.
 *
 * @throws HeadwaterError ARCHIVE_DAMAGED
 */
export async function readManifest(
  store: ArchiveStore,
  folder: string,
  partition: number,
): Promise<Manifest> {
  for (;;) {
    const names = await store.list(folder)
    const tokens = names.flatMap((name) => {
      const [, token] = /^manifest\.(\d{1,15})\.json$/.exec(name) ?? []
      return token === undefined ? [] : [Number(token)]
    })
    if (tokens.length === 0) return { format: 1, partition, token: 0, segments: [] }
    const path = manifestPath(folder, Math.max(...tokens))
    const piece = await store.read(path, pieceBytesMax)
    // Gone since: a later archiver has put its own in place.
    if (piece && piece.length > pieceBytesMax) throw unreadable(store, path, partition)
    if (piece) return parseManifest(store, path, partition, Buffer.from(piece).toString())
  }
}

export async function writeManifest(store: ArchiveStore, folder: string, manifest: Manifest): Promise<void> {
  const text = `${JSON.stringify(manifest, undefined, 1)}\n`
  await store.write(manifestPath(folder, manifest.token), Buffer.from(text))
}

/** Removes what the manifest in force does not know, of archivers that were killed or overtaken. */
export async function sweep(store: ArchiveStore, folder: string, manifest: Manifest): Promise<void> {
  const known = new Set([`manifest.${manifest.token}.json`, ...manifest.segments.map(({ file }) => file)])
  for (const name of await store.list(folder)) {
    const token = Number(/\.(\d{1,15})\.(?:json|ndjson\.gz)(?:\.|$)/.exec(name)?.[1])
    if (!known.has(name) && token <= manifest.token) await store.remove(`${folder}/${name}`)
  }
}

function manifestPath(folder: string, token: number): string {
  return `${folder}/manifest.${token}.json`
}

function parseManifest(store: ArchiveStore, path: string, partition: number, text: string): Manifest {
  let manifest: Partial<Manifest> | undefined
  try {
    manifest = JSON.parse(text) as Partial<Manifest>
  } catch {
    // Told below.
  }
  const fits =
    manifest?.format === 1 &&
    manifest.partition === partition &&
    Array.isArray(manifest.segments) &&
    manifest.segments.every(isSegment)
  if (fits) return manifest as Manifest
  throw unreadable(store, path, partition)
}

function unreadable({ name }: ArchiveStore, path: string, partition: number): HeadwaterError {
  return new HeadwaterError(
    'ARCHIVE_DAMAGED',
    `${path} of the archive in ${name} is no manifest of partition ${partition} that this version can read.`,
  )
}

/** A file's name that leads elsewhere is none of ours, nor is one that says it is larger than what is written. */
function isSegment(entry: unknown): entry is SegmentEntry {
  const segment = (entry ?? {}) as Partial<SegmentEntry>
  const numbers = [
    segment.entries,
    segment.first,
    segment.last?.epoch,
    segment.last?.sequence,
    segment.from,
    segment.to,
    segment.bytes,
  ]
  return (
    numbers.every((number) => Number.isSafeInteger(number)) &&
    segment.bytes! <= pieceBytesMax &&
    [segment.file, segment.sha256].every((text) => typeof text === 'string' && /^\w[\w.-]*$/.test(text))
  )
}
