/** Tries again, every 20 ms and until `patienceMs` have passed, as long as the call throws. */
export async function eventually<T>(patienceMs: number, call: () => Promise<T>): Promise<T> {
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
