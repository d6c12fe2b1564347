import type { Redis } from 'ioredis'

/** Reads a hash of the Redis sink by its documented rule, and not by the sink's own code. */
export async function readHash(client: Redis, key: string): Promise<unknown> {
  const fields = (await client.call('HGETALL', key)) as string[]
  const members = new Map<string, unknown>()
  for (let index = 0; index < fields.length; index += 2) {
    const [name, content] = [fields[index]!, fields[index + 1]!]
    if (name !== '' || content !== '') members.set(name, jsonOrText(content))
  }
  return Object.fromEntries(members)
}

function jsonOrText(content: string): unknown {
  try {
    return JSON.parse(content)
  } catch {
    return content
  }
}
