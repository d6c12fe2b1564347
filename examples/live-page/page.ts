/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
// What runs in the browser: a table that follows the collection.
import { followCollection, type LiveStatus } from '@headwater/client'
import type { Product } from './products.ts'

const rows = document.querySelector('tbody')!
const badge = document.querySelector('#status')!

const products = followCollection<Product>('/feed?collection=products', {
  reconnect: { firstMs: 200, maxMs: 2_000 },
})

const texts: Record<LiveStatus, string> = {
  connecting: 'connecting …',
  live: 'live',
  waiting: 'connection lost, coming back …',
  closed: 'closed',
}

products.subscribe((event) => {
  switch (event.kind) {
    case 'status':
      showStatus(event.status)
      break
    case 'put':
      showProduct(event.value)
      break
    case 'delete':
      rowOf(event.key)?.remove()
      break
  }
})
showStatus(products.status)

function showStatus(status: LiveStatus): void {
  badge.textContent = texts[status]
  badge.className = status
}

function showProduct({ sku, name, stock }: Product): void {
  const row = rowOf(sku) ?? newRow(sku)
  row.querySelector('.name')!.textContent = name
  row.querySelector('.stock')!.textContent = String(stock)
  row.querySelector('button')!.disabled = stock === 0
  row.getAnimations().forEach((animation) => animation.cancel())
  row.animate([{ background: '#fde68a' }, { background: 'transparent' }], 1_200)
}

function rowOf(sku: string): HTMLTableRowElement | undefined {
  return [...rows.rows].find((row) => row.dataset['sku'] === sku)
}

function newRow(sku: string): HTMLTableRowElement {
  const row = document.createElement('tr')
  row.dataset['sku'] = sku
  row.innerHTML = '<td class="name"></td><td class="stock"></td><td><button>Take one</button></td>'
  row.querySelector('button')!.addEventListener('click', () => {
    // The answer is not needed: the feed shows what became of it.
    void fetch(`/products/${encodeURIComponent(sku)}/take`, { method: 'POST' })
  })
  const next = [...rows.rows].find((other) => (other.dataset['sku'] ?? '') > sku)
  rows.insertBefore(row, next ?? null)
  return row
}
