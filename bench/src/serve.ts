import type { CallAnswer, CallRequest, Calls } from './part.ts'

/** Offers functions to the process that started this one as a `Part`. */
export function serve(calls: Calls): void {
  process.once('disconnect', () => process.exit(1))
  process.on('message', (request: CallRequest) => {
    void answer(calls, request).then((reply) => process.send?.(reply))
  })
}

async function answer(calls: Calls, { id, name, parameters }: CallRequest): Promise<CallAnswer> {
  try {
    return { id, result: await calls[name]?.(...(parameters as never[])) }
  } catch (error) {
    return { id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) }
  }
}
