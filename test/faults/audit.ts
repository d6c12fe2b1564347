import type { Client } from 'pg'

/** What an audit found. */
export interface AuditFindings {
  /** Rows that went back to an older stamp, as sentences. */
  readonly wentBack: readonly string[]
  /** Writes under a fence older than one that had written before. */
  readonly zombies: readonly string[]
}

/**
 * Triggers in Postgres that look at each single write of a sink, in the order in which rows change: stronger than any
 * looking from outside, and nothing of the sink knows of them.
 */
export class Audit {
  readonly #table: string
  readonly #partitions: string

  constructor(schema: string, table: string) {
    this.#table = `"${schema}"."${table}"`
    this.#partitions = `"${schema}"."hw_partitions"`
  }

  /** Begins to look. The tables must be there. */
  async begin(client: Client): Promise<void> {
    await client.query(`
      create table faults_audit (what text not null, detail text not null);
      create function audit_row() returns trigger language plpgsql as $$
      begin
        if (new.hw_epoch, new.hw_sequence) < (old.hw_epoch, old.hw_sequence) then
          insert into faults_audit values ('went back',
            format('%s from %s-%s to %s-%s', old.id, old.hw_epoch, old.hw_sequence, new.hw_epoch, new.hw_sequence));
        end if;
        return new;
      end $$;
      create function audit_fence() returns trigger language plpgsql as $$
      begin
        if (new.fence_epoch, new.fence_token) < (old.fence_epoch, old.fence_token) then
          insert into faults_audit values ('zombie',
            format('partition %s from fence %s %s to %s %s', old.partition,
              old.fence_epoch, old.fence_token, new.fence_epoch, new.fence_token));
        end if;
        return new;
      end $$;
      create trigger audit_row before update on ${this.#table} for each row execute function audit_row();
      create trigger audit_fence before update on ${this.#partitions} for each row execute function audit_fence();
    `)
  }

  async findings(client: Client): Promise<AuditFindings> {
    const { rows } = await client.query<{ what: string; detail: string }>(
      'select what, detail from faults_audit',
    )
    const of = (what: string): string[] => rows.filter((row) => row.what === what).map(({ detail }) => detail)
    return { wentBack: of('went back'), zombies: of('zombie') }
  }
}
