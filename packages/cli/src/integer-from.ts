import { InvalidArgumentError } from 'commander'

/** A whole number as an argument. */
export function integerFrom(min: number): (text: string) => number {
  return (text) => {
    if (/^\d{1,15}$/.test(text) && Number(text) >= min) return Number(text)
    throw new InvalidArgumentError(`It must be a whole number from ${min}.`)
  }
}
