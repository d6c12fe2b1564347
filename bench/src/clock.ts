/** µs of a clock that all processes of this machine share and nobody sets. */
export function microseconds(): number {
  return Number(process.hrtime.bigint() / 1_000n)
}
