const patienceMs = 10_000

/** Tries again, every 20 ms and for 10 seconds at most, until the call does not throw. */
export async function eventually<T>(call: () => Promise<T>): Promise<T> {
  const end = performance.now() + patienceMs
  for (;;) {
    try {
      return await call()
    } catch (error) {
      if (performance.now() > end) throw error
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
