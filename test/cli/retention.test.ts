import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { memorySink, startWorker } from '@headwater/core'
import { describe, expect, it } from 'vitest'
import { drained } from '../worker/test-log.ts'
import { headwater, lastLine } from './headwater.ts'
import { openShop, shop } from './opened-shop.ts'
import { product, products } from './shop.ts'

openShop()

/** A log of four changes that a group has applied, its worker gone, and of two more. */
async function openApplied(): Promise<{ at: string[]; namespace: string }> {
  const namespace = shop.namespace()
  await using log = await shop.connect(namespace)
  for (const sku of ['lamp', 'desk', 'chair', 'shelf']) await log.append(products.put(product(sku)))
  const worker = await startWorker(log, { groups: { cache: memorySink({ collection: products }) } })
  await drained(log, 'cache')
  await worker.stop()
  for (const sku of ['lamp', 'desk']) await log.append(products.put(product(sku, 1)))
  return { at: shop.at(namespace), namespace }
}

describe('headwater trim', () => {
  it('removes what is old enough and nobody needs, and says who needs the rest', async () => {
    const { at } = await openApplied()
    expect(lastLine(await headwater(['trim', '--json', ...at]))).toMatchObject({ removed: 0 })
    expect(await headwater(['retention', '--keep', '0s', ...at])).toMatchObject({ ending: 0 })
    const dry = await headwater(['trim', '--dry-run', ...at])
    expect(dry).toMatchObject({ ending: 0, stderr: '' })
    expect(dry.stdout).toMatch(/^4 changes would be removed\n/)
    const trimmed = lastLine(await headwater(['trim', '--json', ...at])) as { partitions: object[] }
    expect(trimmed).toMatchObject({ dryRun: false, removed: 4 })
    expect(trimmed.partitions).toHaveLength(4)
    expect(trimmed.partitions).toContainEqual(
      expect.objectContaining({ heldBy: { kind: 'group', name: 'cache' } }),
    )
    expect((await headwater(['trim', ...at])).stdout).toMatch(/^0 changes removed\n/)
  })
})

describe('headwater retention', () => {
  it('shows and changes what is kept, and shows for whom', async () => {
    const { at } = await openApplied()
    const text = await headwater(['retention', ...at])
    expect(text).toMatchObject({ ending: 0, stderr: '' })
    expect(text.stdout).toMatch(/^Changes stay for 168 h 0 min at least; no memory limit\.\n/)
    expect(text.stdout).toMatch(/^group cache .* 4 +2 +\d/m)
    const set = await headwater(['retention', '--json', '--keep', '12h', '--partition-limit', '100mb', ...at])
    expect(lastLine(set)).toMatchObject({ retentionMs: 43_200_000, partitionBytesMax: 104_857_600 })
    const unset = await headwater(['retention', '--json', '--partition-limit', 'none', ...at])
    expect(lastLine(unset)).toMatchObject({ retentionMs: 43_200_000, partitionBytesMax: null })
  })

  it.each([
    ['--keep', 'long'],
    ['--partition-limit', '7'],
  ])('ends with 2 for %s %s', async (flag, value) => {
    expect(await headwater(['retention', flag, value])).toMatchObject({ ending: 2, stdout: '' })
  })
})

describe('headwater group', () => {
  it('lists groups, shows one, and forgets it', async () => {
    const { at } = await openApplied()
    const list = lastLine(await headwater(['group', 'list', '--json', ...at]))
    expect(list).toMatchObject({
      groups: [{ group: 'cache', partitions: 4, owned: 0, lag: 2, parked: 0, keeps: { changes: 2 } }],
    })
    expect((await headwater(['group', 'list', ...at])).stdout).toMatch(/^cache +\S+ +0\/4 +2 +0 +2 /m)
    const show = await headwater(['group', 'show', 'cache', ...at])
    expect(show.stdout).toMatch(/^cache: registered \S+; the log keeps 2 changes for it \(/)
    expect(show.stdout.split('\n').filter((line) => line.startsWith('cache  '))).toHaveLength(4)
    const unknown = await headwater(['group', 'retire', 'cahce', ...at])
    expect(unknown.ending).toBe(1)
    expect(unknown.stderr).toContain('Did you mean cache?')
    expect(lastLine(await headwater(['group', 'retire', 'cache', '--json', ...at]))).toEqual({
      retired: 'cache',
      lag: 2,
      parked: 0,
    })
    expect(lastLine(await headwater(['group', 'list', '--json', ...at]))).toEqual({ groups: [] })
  })

  it('does not forget a group that works, unless it is forced', async () => {
    const namespace = shop.namespace()
    await using log = await shop.connect(namespace)
    const worker = await startWorker(log, { groups: { cache: memorySink({ collection: products }) } })
    await drained(log, 'cache')
    const at = shop.at(namespace)
    const refused = await headwater(['group', 'retire', 'cache', '--json', ...at])
    expect(refused.ending).toBe(1)
    expect(lastLine(refused)).toMatchObject({ error: { code: 'GROUP_ALIVE' } })
    expect(await headwater(['group', 'retire', 'cache', '--force', ...at])).toMatchObject({ ending: 0 })
    await worker.stop()
  })
})

describe('headwater archive', () => {
  it('writes what is trimmed later, is read through, and says where it is damaged', async () => {
    const { at } = await openApplied()
    const directory = mkdtempSync(join(tmpdir(), 'headwater-archive-'))
    try {
      const missing = await headwater(['archive', 'run', ...at])
      expect(missing).toMatchObject({ ending: 2, stdout: '' })
      const run = lastLine(await headwater(['archive', 'run', directory, '--json', ...at]))
      expect(run).toMatchObject({ changes: 6 })
      await headwater(['retention', '--keep', '0s', ...at])
      expect(lastLine(await headwater(['trim', '--json', ...at]))).toMatchObject({ removed: 4 })
      const verified = await headwater(['archive', 'verify', directory, ...at])
      expect(verified).toMatchObject({ ending: 0, stderr: '' })
      expect(verified.stdout).toMatch(/ is whole\n/)
      const segment = (readdirSync(directory, { recursive: true }) as string[]).find((name) =>
        name.endsWith('.gz'),
      )
      writeFileSync(join(directory, segment!), 'no segment')
      const damaged = await headwater(['archive', 'verify', directory, '--json', ...at])
      expect(damaged.ending).toBe(1)
      expect(lastLine(damaged)).toMatchObject({ error: { code: 'ARCHIVE_DAMAGED' } })
      expect(await headwater(['archive', 'stop', ...at])).toMatchObject({ ending: 0 })
    } finally {
      rmSync(directory, { recursive: true })
    }
  })
})
