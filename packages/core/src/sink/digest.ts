/** Fingerprints of many rows: what two copies compare before they compare rows. */
export interface DigestCell extends CellName {
  /** Live rows in it. */
  readonly count: number
  /** The sum of their content hashes, modulo 2^64. */
  readonly sum: bigint
}

/**
 * A part of all rows: those of one bucket whose content hash ends in the same bits, four for each step of `depth`. Live
 * rows whose hash is 0, which no log writes, are together in partition -1 and bucket -1, whatever they say of themselves.
 */
export interface CellName {
  readonly partition: number
  readonly bucket: number
  /** The last 4 × depth bits of the content hash; 0 at depth 0. */
  readonly low: number
}

/** Cells of one depth: all of them, or those inside some cells of the depth before. */
export interface DigestQuery {
  /** 0 to `cellDepthMax`. */
  readonly depth: number
  readonly within?: readonly CellName[]
  /** Told of about so many more rows each time that some are summed up; a target that sums all up in one go need not. */
  readonly onRows?: ((rows: number) => void) | undefined
}

/** Some cells of one depth, for the rows in them. */
export interface CellsQuery {
  readonly depth: number
  readonly cells: readonly CellName[]
}

export const cellDepthMax = 8

/** The last 4 × depth bits of a hash. */
export function lowOf(hash: bigint, depth: number): number {
  return Number(hash & ((1n << BigInt(4 * depth)) - 1n))
}

/** Tells cells of one depth apart. */
export function cellId({ partition, bucket, low }: CellName): string {
  return `${partition} ${bucket} ${low}`
}

/** The cell that a cell of this depth lies in. */
export function parentCell({ partition, bucket, low }: CellName, depth: number): CellName {
  return { partition, bucket, low: low % 16 ** (depth - 1) }
}
