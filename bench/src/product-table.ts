import type { Sink } from '@headwater/core'
import { postgresSink } from '@headwater/postgres'
import { Client, type Pool } from 'pg'
import { products, type Product } from './product.ts'

export const table = 'products'

/** A table with a column for each property, and the sink's own. */
export function productTableSink(pool: Pool): Sink<Product> {
  return postgresSink({ pool, collection: products, table, keyColumn: 'id' })
}

/** Drops what the sink made, in every measurement before its own. */
export async function dropProductTable(connectionString: string): Promise<void> {
  const client = new Client({ connectionString })
  await client.connect()
  await client.query(`DROP TABLE IF EXISTS ${table}, hw_partitions, hw_tombstones`)
  await client.end()
}
