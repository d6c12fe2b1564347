import { HeadwaterError } from '@headwater/core'

/**
 * Added to every time of expiry, in ms, while a replica follows (about 1,115 years): the replica never expires a key by its
 * own clock, and the source's DEL is what removes it. All commands that move, copy, keep or drop an expiry go on working,
 * because it is an expiry. `release` takes it off. Times of hash fields end at 2^46, so it
 * fits there too.
 */
export const expiryHoldMs: number = 2 ** 45

type Args = readonly Buffer[]

const text = (argument: Buffer | undefined): string => argument?.toString('latin1') ?? ''
const upper = (argument: Buffer | undefined): string => text(argument).toUpperCase()

/** A time of expiry as the replica gets it. */
export function holdTime(ms: number | bigint): Buffer {
  const time = BigInt(ms) < 0n ? 0n : BigInt(ms)
  // What lies behind the hold anyway (the year 3084) never expires while a replica follows.
  return Buffer.from(String(time < BigInt(expiryHoldMs) ? time + BigInt(expiryHoldMs) : time))
}

/** How a command says when a key expires: in seconds or ms, from now on or as a time. */
interface TimeForm {
  readonly unitMs: number
  readonly isRelative: boolean
}

const forms: Readonly<Record<string, TimeForm>> = {
  EX: { unitMs: 1_000, isRelative: true },
  PX: { unitMs: 1, isRelative: true },
  EXAT: { unitMs: 1_000, isRelative: false },
  PXAT: { unitMs: 1, isRelative: false },
}

const expireCommands: Readonly<Record<string, TimeForm>> = {
  EXPIRE: forms['EX']!,
  PEXPIRE: forms['PX']!,
  EXPIREAT: forms['EXAT']!,
  PEXPIREAT: forms['PXAT']!,
}

/** The same command, with the expiry that it sets held back. `nowMs` stands for relative times (before Redis 7.0). */
export function holdExpiry(args: Args, nowMs: number): Args {
  const name = upper(args[0])
  switch (name) {
    case 'SET':
    case 'GETEX':
      return holdOption(args, name === 'SET' ? 3 : 2, args.length, nowMs)
    case 'HSETEX':
    case 'HGETEX':
      return holdOption(args, 2, indexOf(args, 'FIELDS'), nowMs)
    case 'SETEX':
    case 'PSETEX': {
      const form = forms[name === 'SETEX' ? 'EX' : 'PX']!
      return [Buffer.from('SET'), args[1]!, args[3]!, Buffer.from('PXAT'), held(args[2], form, nowMs)]
    }
    case 'EXPIRE':
    case 'PEXPIRE':
    case 'EXPIREAT':
    case 'PEXPIREAT':
    case 'HEXPIRE':
    case 'HPEXPIRE':
    case 'HEXPIREAT':
    case 'HPEXPIREAT': {
      const ofField = name.startsWith('H')
      const time = held(args[2], expireCommands[ofField ? name.slice(1) : name]!, nowMs)
      // The source has decided about NX, XX, GT and LT; only its decision was sent.
      const rest = ofField ? args.slice(indexOf(args, 'FIELDS')) : []
      return [Buffer.from(ofField ? 'HPEXPIREAT' : 'PEXPIREAT'), args[1]!, time, ...rest]
    }
    default:
      return args
  }
}

function holdOption(args: Args, from: number, to: number, nowMs: number): Args {
  for (let at = from; at < to; at++) {
    const form = forms[upper(args[at])]
    if (form === undefined) continue
    return [...args.slice(0, at), Buffer.from('PXAT'), held(args[at + 1], form, nowMs), ...args.slice(at + 2)]
  }
  return args
}

/** When a key expires that was made by `RESTORE key ttl payload [REPLACE] [ABSTTL] …`, in ms, not held back; 0 is never. */
export function restoreTime(args: Args, nowMs: number): bigint | undefined {
  if (text(args[2]) === '0') return undefined
  const isAbsolute = args.slice(4).some((argument) => upper(argument) === 'ABSTTL')
  return timeOf(args[2], forms[isAbsolute ? 'PXAT' : 'PX']!, nowMs)
}

function held(argument: Buffer | undefined, form: TimeForm, nowMs: number): Buffer {
  return holdTime(timeOf(argument, form, nowMs))
}

function timeOf(argument: Buffer | undefined, { unitMs, isRelative }: TimeForm, nowMs: number): bigint {
  const digits = text(argument)
  if (!/^-?\d{1,19}$/.test(digits))
    throw new HeadwaterError(
      'SOURCE_REFUSED',
      `The replication stream has an expiry of ${JSON.stringify(digits)}.`,
    )
  return BigInt(digits) * BigInt(unitMs) + (isRelative ? BigInt(nowMs) : 0n)
}

function indexOf(args: Args, word: string): number {
  const index = args.findIndex((argument, at) => at >= 2 && upper(argument) === word)
  return index < 0 ? args.length : index
}
