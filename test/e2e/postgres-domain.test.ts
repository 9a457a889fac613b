/** A holder whose data lies in PostgreSQL, in one run with a holder whose data lies in files. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AggregatePlan } from '../../src/contracts/plan.ts';
import { dropSchema, findServer } from '../support/test-stores.ts';
import { visitsHolders, visitsOf } from './support/visits.ts';
import { startWeir, type TestWeir } from './support/weir.ts';

const found = await findServer();
const SCHEMA = `weir_domain_${process.pid}`;
const PLAN: AggregatePlan = {
  kind: 'aggregate',
  table: 'visits',
  groups: [{ column: 'region' }, { column: 'kind' }],
  measures: [
    { as: 'visits', fn: 'count' },
    { as: 'age', fn: 'sum', column: 'age' },
    { as: 'cost', fn: 'avg', column: 'cost' },
    { as: 'level', fn: 'var', column: 'level' },
  ],
  select: [],
};

describe.skipIf(found === undefined)('a domain over PostgreSQL', () => {
  let weir: TestWeir;
  let client: Client;
  beforeAll(async () => {
    client = new Client({ connectionString: found?.url ?? '' });
    await client.connect();
    weir = await startWeir({ holders: visitsHolders(['clinic', 'hospital'], 60) });
  });
  afterAll(async () => {
    await weir?.close();
    await client.end();
    await dropSchema(found?.url ?? '', SCHEMA);
    await found?.server?.stop();
  });

  it('gives the same release as its files did, and refuses a run once its data changed', async () => {
    const contract = await weir.agree(PLAN);
    const before = await weir.analyst.run(contract, {}, () => undefined);
    await moveToPostgres(weir, client);
    const after = await weir.analyst.run(contract, {}, () => undefined);
    expect(after.result.release).toEqual(before.result.release);
    expect(after.result.release.rows.length).toBeGreaterThan(2);
    const { datasets } = await weir.analyst.client.datasets();
    expect(JSON.stringify(datasets)).not.toContain(SCHEMA);

    // Another version: a contract that is open to versions goes on, with other counts.
    await client.query(`UPDATE ${SCHEMA}.visits SET age = age + 1`);
    const more = await weir.analyst.run(contract, {}, () => undefined);
    expect(more.result.release).not.toEqual(before.result.release);
    await client.query(`ALTER TABLE ${SCHEMA}.visits DROP COLUMN level`);
    await expect(weir.analyst.run(contract, {}, () => undefined)).rejects.toMatchObject({
      code: 'dataset-drifted',
      message: expect.stringContaining('not as it was registered') as string,
    });
  });
});

/** The clinic's rows into a table, its registration to that table, its domain started again. */
async function moveToPostgres(weir: TestWeir, client: Client): Promise<void> {
  await client.query(`CREATE SCHEMA ${SCHEMA}; CREATE TABLE ${SCHEMA}.visits
    (region text, kind text, age bigint, cost numeric(12,2), level bigint)`);
  const visits = visitsOf(0, 60);
  const column = (key: keyof (typeof visits)[number]): (string | null)[] =>
    visits.map((visit) => (visit[key] === '' ? null : visit[key]));
  await client.query(
    `INSERT INTO ${SCHEMA}.visits
     SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::numeric[], $5::bigint[])`,
    [column('region'), column('kind'), column('age'), column('cost'), column('level')],
  );
  const data = join(weir.directory, 'data', 'clinic');
  const file = join(data, 'visits.dataset.json');
  const registration = JSON.parse(readFileSync(file, 'utf8')) as object;
  const source = {
    kind: 'postgres',
    connectionFile: 'database.json',
    schema: SCHEMA,
    table: 'visits',
  };
  writeFileSync(file, JSON.stringify({ ...registration, source }));
  const { hostname, port, username, pathname, password } = new URL(found?.url ?? '');
  const connection = {
    host: hostname,
    port: Number(port),
    user: username,
    database: pathname.slice(1),
    ...(password === '' ? {} : { password: decodeURIComponent(password) }),
  };
  writeFileSync(join(data, 'database.json'), JSON.stringify(connection), { mode: 0o600 });
  await weir.program('clinic').kill();
  await weir.start('clinic');
  await weir.linked();
}
