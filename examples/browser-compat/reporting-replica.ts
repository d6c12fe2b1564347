import type { Sink } from '@headwater/core'
import { postgresSink } from '@headwater/postgres'
import type { Client, Pool } from 'pg'
import { type Feature, features } from './feature.ts'
import type { ReplicaRow } from './oracle.ts'

const table = 'features'

/** Keeps each feature as a row of a table, with a column for each property. */
export function reportingSink(pool: Pool, schema: string): Sink<Feature> {
  return postgresSink({ pool, collection: features, schema, table, keyColumn: 'path' })
}

/** Everything that stands in the table, read as any program would read it. */
export async function* readReporting(client: Client, schema: string): AsyncGenerator<ReplicaRow> {
  const { rows } = await client.query<Feature>(`SELECT path, __compat FROM ${schema}.${table}`)
  for (const row of rows) yield { path: row.path, value: row }
}
