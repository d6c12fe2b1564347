export type { ColumnType } from './column-type.ts'
export type { PostgresClient, PostgresPool, PostgresQuery, PostgresRow } from './postgres-client.ts'
export type { ColumnMapping, ColumnOptions } from './postgres-columns.ts'
export { postgresSink, type PostgresSinkOptions } from './postgres-sink.ts'
