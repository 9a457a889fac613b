/** The fixture's table in a schema of its own on the test PostgreSQL, and its registration. */
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import { DatasetRegistrationSchema, type DatasetRegistration } from '../../src/catalog/dataset.ts';
import { registrationOf, type Row } from './source-tables.ts';
import { dropSchema } from './test-stores.ts';

export interface PostgresTable {
  readonly client: Client;
  readonly schema: string;
  readonly registration: DatasetRegistration;
  /** Replaces what is in the table. */
  fill(rows: readonly Row[]): Promise<void>;
  remove(): Promise<void>;
}

/** Makes schema and table, and a connection file in the directory. */
export async function makePostgresTable(
  url: string,
  directory: string,
  labels: readonly string[],
): Promise<PostgresTable> {
  const schema = `weir "source" ${randomBytes(6).toString('hex')}`;
  const quoted = `"${schema.replaceAll('"', '""')}"`;
  const client = new Client({ connectionString: url });
  await client.connect();
  await client.query(`CREATE SCHEMA ${quoted};
    CREATE TABLE ${quoted}."even't; --" ("when ""it"" was; --" timestamp, "类别" text,
      whole bigint, exact numeric(20,6), real double precision)`);
  const { hostname, port, username, pathname, password } = new URL(url);
  const connection = {
    host: hostname,
    port: port === '' ? 5432 : Number(port),
    user: username,
    database: pathname.slice(1),
    ...(password === '' ? {} : { password: decodeURIComponent(password) }),
  };
  const file = join(directory, 'connection.json');
  await writeFile(file, JSON.stringify(connection), { mode: 0o600 });
  const registration = DatasetRegistrationSchema.parse({
    ...registrationOf('csv', labels),
    source: { kind: 'postgres', connectionFile: 'connection.json', schema, table: "even't; --" },
  });
  return {
    client,
    schema,
    registration,
    fill: async (rows) => {
      await client.query(`TRUNCATE ${quoted}."even't; --"`);
      const column = <Key extends keyof Row>(key: Key): (Row[Key] | string)[] =>
        rows.map((row) => row[key]);
      await client.query(
        `INSERT INTO ${quoted}."even't; --"
         SELECT * FROM unnest($1::timestamp[], $2::text[], $3::bigint[], $4::numeric[], $5::float8[])`,
        [column('at'), column('kind'), column('whole'), column('exact'), column('real')],
      );
    },
    remove: async () => {
      await client.end();
      await dropSchema(url, quoted);
    },
  };
}
