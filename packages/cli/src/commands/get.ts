import { HeadwaterError, type Entity } from '@headwater/core'
import type { Invocation } from '../invocation.ts'
import { openToRead } from '../open-log.ts'
import { printable } from '../output.ts'

/** Shows the latest value of a key. */
export async function get({ options, output }: Invocation, name: string, key: string): Promise<void> {
  await using opened = await openToRead(options, name)
  const entity: Entity<unknown> | undefined = await opened.log.get(opened.collection, key)
  if (!entity) {
    throw new HeadwaterError('KEY_ABSENT', `Key ${JSON.stringify(key)} of ${name} does not exist.`)
  }
  const { value, version, position } = entity
  await output.result({ collection: name, key, value, version, position }, () => {
    const head = `${name}/${printable(key)}  version ${version}  position ${position}`
    return `${output.style('dim', head)}\n${JSON.stringify(value, undefined, 2)}`
  })
}
