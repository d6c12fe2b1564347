/**
 * Merges parts that are each in order, the earliest head first. Each part keeps its order, also where its clock went
 * backwards.
 */
export async function* mergeByTime<T extends { readonly time: number }>(
  parts: readonly AsyncIterable<T>[],
): AsyncGenerator<T> {
  const open = parts.map((part) => part[Symbol.asyncIterator]())
  try {
    const heads = (await Promise.all(open.map(headOf<T>))).filter((head) => head !== undefined)
    while (heads.length > 0) {
      const earliest = heads.reduce((a, b) => (b.value.time < a.value.time ? b : a))
      yield earliest.value
      const next = await headOf(earliest.rest)
      if (next) heads[heads.indexOf(earliest)] = next
      else heads.splice(heads.indexOf(earliest), 1)
    }
  } finally {
    for (const rest of open) await rest.return?.()
  }
}

interface Head<T> {
  readonly value: T
  readonly rest: AsyncIterator<T>
}

async function headOf<T>(rest: AsyncIterator<T>): Promise<Head<T> | undefined> {
  const next = await rest.next()
  return next.done ? undefined : { value: next.value, rest }
}
