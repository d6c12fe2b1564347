/**
 * Waits until `claim` holds: until it returns without throwing. Rejects with its last error after `timeoutMs`
 * (default 10 seconds).
 */
export async function eventually<T>(
  claim: () => T | Promise<T>,
  { timeoutMs = 10_000, everyMs = 20 }: { timeoutMs?: number; everyMs?: number } = {},
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    try {
      return await claim()
    } catch (error) {
      if (performance.now() >= deadline) throw error
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
}
