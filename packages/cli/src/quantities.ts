import { InvalidArgumentError } from 'commander'

const secondsOf: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 }
const bytesOf: Readonly<Record<string, number>> = { kb: 1_024, mb: 1_048_576, gb: 1_073_741_824 }

/** `90s`, `30m`, `12h`, `7d`: in ms. */
export function durationMs(text: string): number {
  const [, number, unit = ''] = /^(\d{1,9})([smhd])$/.exec(text) ?? []
  if (number === undefined) throw new InvalidArgumentError('It must be a time such as 90s, 30m, 12h or 7d.')
  return Number(number) * secondsOf[unit]! * 1_000
}

/** `512kb`, `100mb`, `2gb` in bytes, or `none`. */
export function byteLimit(text: string): number | 'none' {
  if (text === 'none') return text
  const [, number, unit = ''] = /^(\d{1,6})(kb|mb|gb)$/i.exec(text) ?? []
  if (number === undefined) {
    throw new InvalidArgumentError('It must be a size such as 512kb, 100mb or 2gb, or none.')
  }
  return Number(number) * bytesOf[unit.toLowerCase()]!
}

/** `812 bytes`, `1.4 kB`, `128.0 MB`: of 1,024 each. */
export function size(bytes: number): string {
  if (bytes < 1_024) return `${bytes} bytes`
  const units = ['kB', 'MB', 'GB', 'TB']
  let value = bytes / 1_024
  let unit = 0
  for (; value >= 1_024 && unit < units.length - 1; unit++) value /= 1_024
  return `${value.toFixed(1)} ${units[unit]}`
}
