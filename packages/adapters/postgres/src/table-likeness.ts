import { HeadwaterError } from '@headwater/core'
import { checkIdentifier, quote } from './identifier.ts'
import { query, type PostgresClient, type PostgresRow } from './postgres-client.ts'

/** Where a new table is to become like an old one. */
export interface Likeness {
  readonly schema: string
  readonly from: string
  readonly to: string
  /** Gives an index of the old table the name that it has on the new one, until they change places. */
  readonly renamed: (name: string) => string
}

/** The name of something while it belongs to a version that readers do not see. */
export function versionedName(name: string, version: number): string {
  const versioned = `${name}_v${version}`
  checkIdentifier(versioned, 'The name', 'give what it is named after a shorter name')
  return versioned
}

/**
 * What hangs on a table that cannot be carried over to another one without its owner: to lose it silently could open data to
 * the wrong readers, or stop what others build on.
 *
 * @throws HeadwaterError SINK_MISCONFIGURED
 */
export async function refuseWhatCannotFollow(
  client: PostgresClient,
  schema: string,
  table: string,
): Promise<void> {
  const rows = await query(client, obstaclesSql, [schema, table])
  if (rows.length === 0) return
  throw new HeadwaterError(
    'SINK_MISCONFIGURED',
    `A new version of table ${quote(schema)}.${quote(table)} cannot take the place of this one, because of ${rows
      .map(({ what }) => what)
      .join(', ')}: remove it for the time of the rebuild, or rebuild into another table by hand.`,
  )
}

const obstaclesSql = `
WITH t AS (
  SELECT c.* FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2
)
SELECT 'partitioning' AS what FROM t WHERE relkind = 'p'
UNION ALL SELECT 'inheritance' FROM t
  WHERE EXISTS (SELECT FROM pg_inherits WHERE inhrelid = t.oid OR inhparent = t.oid)
UNION ALL SELECT 'the trigger ' || tgname FROM t JOIN pg_trigger ON tgrelid = t.oid AND NOT tgisinternal
UNION ALL SELECT 'the rule ' || rulename FROM t JOIN pg_rewrite ON ev_class = t.oid
UNION ALL SELECT 'row level security' FROM t WHERE relrowsecurity
UNION ALL SELECT 'the foreign key ' || conname || ' of ' || conrelid::regclass
  FROM t JOIN pg_constraint ON confrelid = t.oid AND contype = 'f' AND conrelid <> t.oid
UNION ALL SELECT 'the publication ' || pubname
  FROM t JOIN pg_publication_rel ON prrelid = t.oid JOIN pg_publication p ON p.oid = prpubid
UNION ALL SELECT DISTINCT 'the materialized view ' || v.oid::regclass
  FROM t JOIN pg_depend d ON d.refobjid = t.oid AND d.classid = 'pg_rewrite'::regclass
  JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'm'
UNION ALL SELECT DISTINCT 'the function ' || d.objid::regprocedure
  FROM t JOIN pg_depend d ON d.refobjid = t.oid AND d.classid = 'pg_proc'::regclass
UNION ALL SELECT 'the column ' || quote_ident(attname) || ', which a sequence fills'
  FROM t JOIN pg_attribute a ON a.attrelid = t.oid AND attnum > 0 AND NOT attisdropped
  LEFT JOIN pg_attrdef f ON f.adrelid = t.oid AND f.adnum = a.attnum
  WHERE attidentity <> '' OR pg_get_expr(f.adbin, f.adrelid) LIKE '%nextval(%'`

/**
 * Gives a new table what its owner has given the old one: columns that compute themselves, constraints, indexes, comments,
 * grants, owner and storage options. Columns that somebody else fills stay with the old version.
 */
export async function makeAlike(client: PostgresClient, likeness: Likeness): Promise<void> {
  const at = [likeness.schema, likeness.from, likeness.to]
  // In this order: constraints and indexes may be about the columns, and comments about all of them.
  for (const statements of [columnsSql, notNullSql, optionsSql])
    await run(client, await query(client, statements, at))
  await copyConstraints(client, likeness)
  await copyIndexes(client, likeness)
  for (const statements of [commentsSql, grantsSql, ownerSql])
    await run(client, await query(client, statements, at))
}

async function run(client: PostgresClient, rows: readonly PostgresRow[]): Promise<void> {
  for (const { sql } of rows) if (sql) await query(client, sql)
}

const pair = `
WITH f AS (
  SELECT c.* FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2
), t AS (
  SELECT c.*, format('%I.%I', $1::text, $3::text) AS name
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $3
), fa AS (
  SELECT a.*, pg_get_expr(d.adbin, d.adrelid) AS expression FROM f
  JOIN pg_attribute a ON a.attrelid = f.oid AND attnum > 0 AND NOT attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = f.oid AND d.adnum = a.attnum
), ta AS (
  SELECT a.* FROM t JOIN pg_attribute a ON a.attrelid = t.oid AND attnum > 0 AND NOT attisdropped
)`

const columnsSql = `${pair}
SELECT format('ALTER TABLE %s ADD COLUMN %I %s %s', t.name, attname, format_type(atttypid, atttypmod),
  CASE WHEN attgenerated = 's' THEN format('GENERATED ALWAYS AS (%s) STORED', expression)
    ELSE format('DEFAULT %s', expression) END) AS sql
FROM fa, t WHERE expression IS NOT NULL AND NOT EXISTS (SELECT FROM ta WHERE ta.attname = fa.attname)
ORDER BY attnum`

const notNullSql = `${pair}
SELECT format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL', t.name, fa.attname) AS sql
FROM t, fa JOIN ta ON ta.attname = fa.attname WHERE fa.attnotnull AND NOT ta.attnotnull`

const optionsSql = `${pair}
SELECT format('ALTER TABLE %s SET (%s)', t.name, array_to_string(f.reloptions, ', ')) AS sql
FROM f, t WHERE f.reloptions IS NOT NULL`

const commentsSql = `${pair}
SELECT format('COMMENT ON TABLE %s IS %L', t.name, obj_description(f.oid, 'pg_class')) AS sql
FROM f, t WHERE obj_description(f.oid, 'pg_class') IS NOT NULL
UNION ALL
SELECT format('COMMENT ON COLUMN %s.%I IS %L', t.name, fa.attname, col_description(fa.attrelid, fa.attnum))
FROM t, fa JOIN ta ON ta.attname = fa.attname WHERE col_description(fa.attrelid, fa.attnum) IS NOT NULL`

const grantsSql = `${pair}, given AS (
  SELECT g.privilege_type AS privilege, '' AS columns, g.* FROM f, aclexplode(f.relacl) AS g
  UNION ALL
  SELECT g.privilege_type, format('(%I)', fa.attname), g.* FROM fa JOIN ta ON ta.attname = fa.attname, aclexplode(fa.attacl) AS g
)
SELECT format('GRANT %s %s ON %s TO %s %s', privilege, columns, t.name,
  CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
  CASE WHEN is_grantable THEN 'WITH GRANT OPTION' ELSE '' END) AS sql
FROM given, f, t WHERE grantee <> f.relowner`

const ownerSql = `${pair}
SELECT format('ALTER TABLE %s OWNER TO %s', t.name, f.relowner::regrole) AS sql FROM f, t WHERE f.relowner <> t.relowner`

/** The primary key is the sink's own. A constraint over a column that the new version lacks stays behind. */
async function copyConstraints(client: PostgresClient, { renamed, ...likeness }: Likeness): Promise<void> {
  const rows = await query(
    client,
    `${pair}
    SELECT conname AS name, contype AS type, pg_get_constraintdef(c.oid) AS definition, t.name AS table,
      obj_description(c.oid, 'pg_constraint') AS comment
    FROM t, f JOIN pg_constraint c ON conrelid = f.oid
    WHERE contype IN ('c', 'u', 'x', 'f') AND NOT EXISTS (
      SELECT FROM unnest(conkey) AS k (num) JOIN fa ON fa.attnum = k.num
      WHERE NOT EXISTS (SELECT FROM ta WHERE ta.attname = fa.attname))
    ORDER BY conname`,
    [likeness.schema, likeness.from, likeness.to],
  )
  for (const { name, type, definition, table, comment } of rows) {
    // The names of indexes are unique in the schema, those of the others in their table.
    const own = quote(type === 'u' || type === 'x' ? renamed(name!) : name!)
    await query(client, `ALTER TABLE ${table} ADD CONSTRAINT ${own} ${definition}`)
    if (comment) await query(client, `COMMENT ON CONSTRAINT ${own} ON ${table} IS ${literal(comment)}`)
  }
}

async function copyIndexes(client: PostgresClient, { schema, from, to, renamed }: Likeness): Promise<void> {
  const rows = await query(
    client,
    `${pair}
    SELECT i.relname AS name, pg_get_indexdef(i.oid) AS definition, indisunique AS unique,
      obj_description(i.oid, 'pg_class') AS comment,
      format('CREATE %sINDEX %I ON %I.%I ', CASE WHEN indisunique THEN 'UNIQUE ' ELSE '' END, i.relname, $1::text, $2::text) AS beginning
    FROM f JOIN pg_index x ON x.indrelid = f.oid JOIN pg_class i ON i.oid = x.indexrelid, t
    WHERE indisvalid AND NOT indisprimary AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.oid)
      AND NOT EXISTS (
        SELECT FROM unnest(indkey::int2[]) AS k (num) JOIN fa ON fa.attnum = k.num
        WHERE NOT EXISTS (SELECT FROM ta WHERE ta.attname = fa.attname))
    ORDER BY i.relname`,
    [schema, from, to],
  )
  for (const { name, definition, unique, comment, beginning } of rows) {
    if (!definition!.startsWith(beginning!)) {
      throw new HeadwaterError(
        'SINK_MISCONFIGURED',
        `The index ${quote(name!)} of ${quote(schema)}.${quote(from)} is of a kind that cannot be copied: drop it for the time of the rebuild.`,
      )
    }
    const own = renamed(name!)
    await query(
      client,
      `CREATE ${unique === 't' ? 'UNIQUE ' : ''}INDEX ${quote(own)} ON ${quote(schema)}.${quote(to)} ${definition!.slice(beginning!.length)}`,
    )
    if (comment) await query(client, `COMMENT ON INDEX ${quote(schema)}.${quote(own)} IS ${literal(comment)}`)
  }
}

/** A view over the old table, and what makes it again over the one that has its name by then. */
export async function viewsOver(
  client: PostgresClient,
  schema: string,
  table: string,
): Promise<readonly string[]> {
  const rows = await query(
    client,
    `SELECT DISTINCT format('CREATE OR REPLACE VIEW %I.%I %s AS %s', vn.nspname, v.relname,
        CASE WHEN v.reloptions IS NULL THEN '' ELSE format('WITH (%s)', array_to_string(v.reloptions, ', ')) END,
        pg_get_viewdef(v.oid)) AS sql
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_depend d ON d.refobjid = c.oid AND d.classid = 'pg_rewrite'::regclass
      JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'v'
      JOIN pg_namespace vn ON vn.oid = v.relnamespace
      WHERE n.nspname = $1 AND c.relname = $2`,
    [schema, table],
  )
  return rows.map(({ sql }) => sql!)
}

/** The names of a table's indexes, those of its constraints among them. */
export async function indexNames(
  client: PostgresClient,
  schema: string,
  table: string,
): Promise<readonly string[]> {
  const rows = await query(
    client,
    `SELECT i.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_index x ON x.indrelid = c.oid JOIN pg_class i ON i.oid = x.indexrelid
      WHERE n.nspname = $1 AND c.relname = $2 ORDER BY 1`,
    [schema, table],
  )
  return rows.map(({ name }) => name!)
}

function literal(text: string): string {
  return `E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
}
