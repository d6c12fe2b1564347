import { Client } from 'pg'
import type { Product } from '../src/product.ts'
import { table } from '../src/product-table.ts'
import type { Producer, System } from '../src/system.ts'
import { columns, makeProductTable, updates } from './upsert-loop.ts'

export const system: System = {
  name: 'row-by-row',
  settings:
    'a loop with a prepared `INSERT … ON CONFLICT DO UPDATE` for each row, 500 of them in a transaction, into the same table',
  needs: ['postgres'],
  packages: ['pg'],
  messages: 10_000,
  sending: { together: 500, inFlight: 1 },
  keepsBacklog: true,
  reset: ({ postgres }) => makeProductTable(postgres),
  async openProducer({ postgres }): Promise<Producer<readonly Product[]>> {
    const client = new Client({ connectionString: postgres })
    await client.connect()
    const text = `INSERT INTO ${table} (${columns}) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO UPDATE SET ${updates}`
    return {
      async send(products) {
        await client.query('BEGIN')
        for (const { id, name, onSale, priceCents, quantity, sentAt } of products) {
          const values = [id, name, onSale, priceCents, quantity, sentAt]
          await client.query({ name: 'upsert', text, values })
        }
        await client.query('COMMIT')
      },
      close: () => client.end(),
    }
  },
}
