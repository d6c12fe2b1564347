import { canonicalJson } from '../change/canonical-json.ts'
import type { Node } from '../nodes/node.ts'
import { mergeVersions, noVersions, type Versions } from '../nodes/versions.ts'

/** Lets a node hold these versions beside what it holds. True when it did not before. */
export async function hold(node: Node, key: string, versions: Versions<unknown>): Promise<boolean> {
  for (;;) {
    const [row] = await node.read([key])
    const merged = mergeVersions<unknown>(row?.versions ?? noVersions, versions)
    if (row && canonicalJson(merged) === canonicalJson(row.versions)) return false
    if ((await node.write(key, row?.mark, merged)) === 'written') return true
  }
}
