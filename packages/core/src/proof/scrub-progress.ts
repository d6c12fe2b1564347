/** How far a pass over one partition is: the buckets before this one are done, with so many keys and findings. */
export interface ScrubProgress {
  readonly bucket: number
  readonly keys: number
  readonly found: number
}

/** What was found by the passes of a scrub over one partition of a group's sink. */
export interface ScrubStatus {
  /** How long ago the last pass came to its end, in ms by the clock of the log's server; undefined before the first. */
  readonly completedMsAgo: number | undefined
  /** How many passes came to their end. */
  readonly passes: number
  /** Keys that were looked at, and that differed, in the last of them. */
  readonly keys: number
  readonly found: number
  /** The pass under way, or where one was interrupted; undefined where none has begun. */
  readonly current: ScrubProgress | undefined
}

export function formatScrub({ bucket, keys, found }: ScrubProgress): string {
  return `${bucket} ${keys} ${found}`
}

/** Undefined where nothing that can be read is noted. */
export function parseScrub(text: string | null | undefined): ScrubProgress | undefined {
  const match = /^(\d{1,9}) (\d{1,15}) (\d{1,15})$/.exec(text ?? '')
  if (!match) return undefined
  return { bucket: Number(match[1]), keys: Number(match[2]), found: Number(match[3]) }
}

/**
 * @param record the hash of the group
 * @param now of the log's server, in ms
 */
export function parseScrubStatus(
  { scrub, scrubbed }: Readonly<Record<string, string>>,
  now: number,
): ScrubStatus {
  const [at, keys = 0, found = 0, passes = 0] = scrubbed?.split(' ').map(Number) ?? []
  const current = parseScrub(scrub)
  return {
    completedMsAgo: at === undefined ? undefined : Math.max(0, Math.round(now - at)),
    passes,
    keys,
    found,
    current: current && current.bucket > 0 ? current : undefined,
  }
}
