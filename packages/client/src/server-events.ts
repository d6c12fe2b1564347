/** One event of a stream of server-sent events. */
export interface ServerEvent {
  readonly type: string
  readonly data: string
  /** Undefined where the event does not say; empty where it resets what an earlier one said. */
  readonly id: string | undefined
}

/** What a stream holds: its events, how long to stay away after it ends, and signs of life. */
export type StreamItem = ServerEvent | { readonly retryMs: number } | 'sign of life'

/** Reads a body by the rules of the HTML standard, as far as our servers use them: lines end with a line feed. */
export async function* serverEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<StreamItem> {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let text = ''
  try {
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return
      yield 'sign of life'
      text += decoder.decode(value, { stream: true })
      const blocks = text.split('\n\n')
      text = blocks.pop()!
      for (const block of blocks) {
        const item = itemOf(block)
        if (item) yield item
      }
    }
  } finally {
    reader.cancel().catch(() => {})
  }
}

function itemOf(block: string): StreamItem | undefined {
  let type = ''
  let id: string | undefined
  let retryMs: number | undefined
  const data: string[] = []
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':')
    const value = line.slice(colon + 1).replace(/^ /, '')
    switch (line.slice(0, colon)) {
      case 'event':
        type = value
        break
      case 'data':
        data.push(value)
        break
      case 'id':
        id = value
        break
      case 'retry':
        retryMs = Number(value)
        break
      default: // A comment.
    }
  }
  if (type !== '') return { type, data: data.join('\n'), id }
  return retryMs === undefined ? undefined : { retryMs }
}
