import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { publishedPackages, root } from '../scripts/workspace-packages.ts'

// What stands here is a promise to users: a name that is added, renamed or removed has to be seen by a reviewer.
// `vitest run test/public-names.test.ts -u` accepts it.
describe.each(publishedPackages())('$manifest.name', ({ folder, manifest }) => {
  const source = readFileSync(join(folder, 'src/index.ts'), 'utf8')
  const statement = /export (type )?\{([^}]*)\} from '[^']+'\n/g

  it('lists its public names one by one', () => {
    expect(
      source
        .replaceAll(statement, '')
        .replaceAll(/^\/\/.*\n|^\/\*\*[^]*?\*\/\n/gm, '')
        .trim(),
    ).toBe('')
  })

  it('exports the names that a reviewer has seen, and no other', async () => {
    const names = [...source.matchAll(statement)].flatMap(([, typeOnly, list = '']) =>
      list
        .split(',')
        .map((name) => name.trim().replace(/^(type )?.* as /, '$1'))
        .filter((name) => name !== '')
        .map((name) => (typeOnly ? `type ${name}` : name)),
    )
    const module = (await import(manifest.name)) as object
    expect(Object.keys(module).toSorted()).toEqual(
      names.filter((name) => !name.startsWith('type ')).toSorted(),
    )
    const file = join(root, 'test/public-names', `${manifest.name.replace('@headwater/', '')}.txt`)
    await expect(`${names.toSorted().join('\n')}\n`).toMatchFileSnapshot(file)
  })
})
