import { Client, Pool } from 'pg'
import type { Product } from '../src/product.ts'
import { dropProductTable, productTableSink, table } from '../src/product-table.ts'
import type { Producer, System } from '../src/system.ts'

export const system: System = {
  name: 'upsert-loop',
  settings:
    'nothing but a loop: `INSERT … SELECT … FROM unnest(…) ON CONFLICT DO UPDATE` of 500 rows, prepared, one after the other on one connection, into the same table',
  needs: ['postgres'],
  packages: ['pg'],
  messages: 50_000,
  sending: { together: 500, inFlight: 1 },
  keepsBacklog: true,
  reset: ({ postgres }) => makeProductTable(postgres),
  async openProducer({ postgres }): Promise<Producer<readonly Product[]>> {
    const client = new Client({ connectionString: postgres })
    await client.connect()
    return {
      send: (products) =>
        client.query({
          name: 'upsert',
          text: `INSERT INTO ${table} (${columns}) SELECT * FROM unnest($1::text[], $2::text[], $3::boolean[], $4::bigint[], $5::bigint[], $6::bigint[]) ON CONFLICT (id) DO UPDATE SET ${updates}`,
          values: [
            products.map(({ id }) => id),
            products.map(({ name }) => name),
            products.map(({ onSale }) => onSale),
            products.map(({ priceCents }) => priceCents),
            products.map(({ quantity }) => quantity),
            products.map(({ sentAt }) => sentAt),
          ],
        }),
      close: () => client.end(),
    }
  },
}

export const columns = 'id, name, "onSale", "priceCents", quantity, "sentAt"'

export const updates = columns
  .split(', ')
  .slice(1)
  .map((column) => `${column} = excluded.${column}`)
  .join(', ')

/** An empty table as the sink makes it. */
export async function makeProductTable(connectionString: string): Promise<void> {
  await dropProductTable(connectionString)
  const pool = new Pool({ connectionString })
  await productTableSink(pool).prepare?.()
  await pool.end()
}
