import { HeadwaterError, isHeadwaterError, type ErrorCode } from '@headwater/core'
import { isServerError, type ServerError } from './postgres-client.ts'

/** Values stand in some messages of Postgres; so much of one may go on into ours. */
const reasonLengthMax = 200

/**
 * Classes of SQLSTATE that are about the rows of a statement: data (22), constraints (23), the same row twice (21),
 * a view's check option (44), limits such as the size of an index entry (54), and what a trigger raises (09, P0).
 */
const rowClasses = new Set(['09', '21', '22', '23', '44', '54', 'P0'])

/** Classes that waiting does not mend: feature missing, no access, no such database, schema, table, column or right. */
const configurationClasses = new Set(['0A', '0L', '0P', '28', '3D', '3F', '42'])

/** Whether Postgres refused a statement for what stands in its rows. */
export function isAboutRows(error: unknown): boolean {
  return isServerError(error) && rowClasses.has(error.code.slice(0, 2))
}

/** What a statement threw, as an error of the contract. `rowsCode` is for what is about rows: default, the target's fault. */
export function postgresError(
  sinkName: string,
  error: unknown,
  rowsCode: ErrorCode = 'SINK_MISCONFIGURED',
): HeadwaterError {
  if (isHeadwaterError(error)) return error
  if (!isServerError(error)) {
    const reason = error instanceof Error ? error.message : String(error)
    return new HeadwaterError('SINK_UNAVAILABLE', `The ${sinkName} cannot be reached: ${reason}.`, {
      cause: error,
    })
  }
  const { code, constraint, column } = error
  const where = [
    `SQLSTATE ${code}`,
    constraint && `constraint "${constraint}"`,
    column && `column "${column}"`,
  ]
  const reason = `${error.message.slice(0, reasonLengthMax)} (${where.filter(Boolean).join(', ')})`
  return new HeadwaterError(errorCode(error, rowsCode), `The ${sinkName} refused: ${reason}.`, {
    cause: error,
  })
}

function errorCode(error: ServerError, rowsCode: ErrorCode): ErrorCode {
  if (isAboutRows(error)) return rowsCode
  return configurationClasses.has(error.code.slice(0, 2)) ? 'SINK_MISCONFIGURED' : 'SINK_UNAVAILABLE'
}
