// Three bytes can stand for a run of 264: no more than this can come out of honest data.
const EXPANSION_MAX = 88

/** Whether so many bytes can come out of so many compressed ones. Asked before room is made for them. */
export function canExpandTo(compressedBytes: number, bytes: number): boolean {
  return bytes > 0 && bytes <= compressedBytes * EXPANSION_MAX
}

/** Undoes LZF compression; undefined when the result would not have exactly `length` bytes. */
export function decompressLzf(input: Buffer, length: number): Buffer | undefined {
  const output = Buffer.allocUnsafe(length)
  let from = 0
  let to = 0
  while (from < input.length) {
    const control = input[from++]!
    if (control < 32) {
      const count = control + 1
      if (from + count > input.length || to + count > length) return undefined
      input.copy(output, to, from, from + count)
      to += count
      from += count
      continue
    }
    let run = control >> 5
    if (run === 7) {
      if (from >= input.length) return undefined
      run += input[from++]!
    }
    if (from >= input.length) return undefined
    let source = to - ((control & 31) << 8) - input[from++]! - 1
    if (source < 0 || to + run + 2 > length) return undefined
    // Byte by byte: source and target may overlap, and then repeat what was just written.
    const end = to + run + 2
    while (to < end) output[to++] = output[source++]!
  }
  return to === length ? output : undefined
}
