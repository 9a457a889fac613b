/** Two processes of one gateway on a PostgreSQL schema of their own, to which all domains link. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { Client } from 'pg';
import { Analyst } from '../../../src/cli/analyst.ts';
import type { WeirClient } from '../../../src/client/weir-client.ts';
import { dropSchema } from '../../support/test-stores.ts';
import { startWeir, type TestWeir, type WeirOptions } from './weir.ts';

/** The name of the second process; the first is `gateway`, by instance `gateway-1`. */
export const SECOND = 'gateway-2';

/** Owns the processes and the schema. */
export interface Pair {
  /** Its own client speaks to the first process. */
  readonly weir: TestWeir;
  /** The same analyst at the second process. */
  readonly second: Analyst;
  readonly secondUrl: string;
  readonly operator: WeirClient;
  /** Straight to the database, as no part of the product. */
  sql(text: string, values?: readonly unknown[]): Promise<readonly Record<string, unknown>[]>;
  close(): Promise<void>;
}

export async function startPair(
  url: string,
  options: Omit<WeirOptions, 'postgres' | 'controlled'>,
): Promise<Pair> {
  const schema = `weir_test_${randomBytes(6).toString('hex')}`;
  const weir = await startWeir({ ...options, controlled: true, postgres: { url, schema } });
  try {
    const { url: secondUrl, operator } = await weir.addGateway(SECOND);
    const second = new Analyst(join(weir.directory, 'analyst'), secondUrl);
    return {
      weir,
      second,
      secondUrl,
      operator,
      sql: async (text, values = []) => {
        const client = new Client({ connectionString: url, options: `-c search_path=${schema}` });
        await client.connect();
        try {
          return (await client.query(text, [...values])).rows;
        } finally {
          await client.end();
        }
      },
      close: async () => {
        second.close();
        operator.close();
        await weir.close();
        await dropSchema(url, schema);
      },
    };
  } catch (error) {
    await weir.close();
    await dropSchema(url, schema);
    throw error;
  }
}
