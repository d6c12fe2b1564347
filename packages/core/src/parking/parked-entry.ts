import type { Position } from '../change/position.ts'
import type { Version } from '../change/version.ts'
import type { ChangeKind } from '../change/change.ts'
import type { ErrorCode } from '../errors/error-codes.ts'

/** One key that a group has set aside, or one entry of the stream that could not be decoded. */
export interface ParkedEntry {
  readonly group: string
  readonly partition: number
  /** Empty for an entry that could not be decoded. */
  readonly collection: string
  /** Empty for an entry that could not be decoded. */
  readonly key: string
  /** Where an entry that could not be decoded lies, or lay, in the log; undefined for keys. */
  readonly entry: string | undefined
  /** The code of the error that set it aside, or that it met when it was last fed back. */
  readonly reason: ErrorCode
  /** What that error said. It may quote the value. */
  readonly message: string
  /** Since when, and for how long, by the clock of the Redis server: ms since 1970, and ms. */
  readonly since: number
  readonly ageMs: number
  /** How many changes are set aside, the first of them included. */
  readonly changes: number
  /** Nothing before `first` is set aside. */
  readonly first: Position
  readonly last: Position
  /** Whether it is on its way back to the sink. */
  readonly redriving: boolean
  /** How often it was fed back and rejected again. */
  readonly refused: number
}

/** One change that is set aside, whole. */
export interface ParkedChange {
  readonly position: Position
  readonly version: Version
  readonly kind: ChangeKind
  /** When it was appended, in ms since 1970. */
  readonly time: number
  /** As it was stored: undefined for a delete, and where it cannot be decoded. */
  readonly value: unknown
  /** What was stored, as text; empty for a delete. */
  readonly payload: string
  readonly metadata: Readonly<Record<string, string>>
}

/** A parked key with its changes in order. */
export interface ParkedDetail extends ParkedEntry {
  readonly contents: readonly ParkedChange[]
  /** Of what could not be decoded: the fields and values of the stream entry in turn, every byte as it was. */
  readonly raw: readonly Buffer[] | undefined
}

/** Which of the parked keys: all that match everything given. */
export interface ParkedFilter {
  readonly collection?: string
  readonly key?: string
  /** An entry that could not be decoded, as `ParkedEntry.entry` names it. */
  readonly entry?: string
  readonly reason?: ErrorCode
  /** Set aside at least so long ago, in ms. */
  readonly minAgeMs?: number
  readonly partition?: number
}
