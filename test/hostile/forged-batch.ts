/** The fields of a batch with one change, as we write it, with something else in the place of some: for XADD. */
export function forgedBatch(
  id: string,
  fields: Readonly<Record<string, string | Buffer>>,
): (string | Buffer)[] {
  return Object.entries({
    first: id.split('-')[1]!,
    time: '1',
    types: 'notes@1',
    operations: 'p',
    versions: '1',
    keys: 'forged',
    payloads: '{"content":1,"id":"forged"}',
    ...fields,
  }).flat()
}
