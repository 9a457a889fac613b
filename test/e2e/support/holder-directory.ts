/** A holder's data and registrations on disk, and its domain's directory, enrolled. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { writePrivateFile } from '../../../src/cli/directories.ts';
import { initDomain } from '../../../src/cli/init.ts';
import type { WeirClient } from '../../../src/client/weir-client.ts';
import { PartyIdSchema } from '../../../src/system/ids.ts';
import type { Holder, Table } from './weir.ts';

/** Writes the tables and makes the domain's directory with a one-time token. */
export async function setUpHolder(
  directory: string,
  holder: Holder,
  url: string,
  operator: WeirClient,
): Promise<void> {
  const data = join(directory, 'data', holder.party);
  mkdirSync(data, { recursive: true });
  const datasets: string[] = [];
  for (const table of holder.tables) datasets.push(await writeTable(data, table));
  const party = PartyIdSchema.parse(holder.party);
  const { token } = await operator.createEnrolmentToken({ party, ttlS: 600 });
  await initDomain({
    directory: join(directory, holder.party),
    party,
    name: { zh: holder.party, en: holder.party },
    gatewayUrl: url,
    token,
    datasets,
  });
}

async function writeTable(directory: string, table: Table): Promise<string> {
  const { registration, format, csv } = table;
  const file = join(directory, `${registration.name}.csv`);
  writeFileSync(file, csv);
  if (format === 'parquet') await toParquet(file, table.types ?? {});
  const path = join(directory, `${registration.name}.dataset.json`);
  const source = { kind: 'duckdb', format, files: [`${registration.name}.${format}`] };
  writeFileSync(path, JSON.stringify({ ...registration, source }));
  return path;
}

async function toParquet(csvFile: string, types: Record<string, string>): Promise<void> {
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
  const connection = await instance.connect();
  try {
    const target = csvFile.replace(/csv$/, 'parquet');
    const typed = Object.entries(types).map(([column, type]) => `'${column}': '${type}'`);
    const csv = `read_csv('${csvFile}', header = true, types = {${typed.join(', ')}})`;
    await connection.run(`COPY (FROM ${csv}) TO '${target}' (FORMAT parquet)`);
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

/** Changes members of a party's configuration before it starts. */
export function reconfigure(directory: string, changes: object = {}): void {
  const file = join(directory, 'config.json');
  const config = JSON.parse(readFileSync(file, 'utf8')) as object;
  writePrivateFile(file, JSON.stringify({ ...config, ...changes }));
}
