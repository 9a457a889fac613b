/** A Weir of real processes whose gateway is killed: two holders, and analysts who are at work on it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { tokenFileOf } from '../../src/cli/analyst-config.ts';
import type { AggregatePlan } from '../../src/contracts/plan.ts';
import {
  databaseFile,
  GATEWAY_MIGRATIONS,
  identityKeyFile,
} from '../../src/gateway/gateway-state.ts';
import { wrap } from '../../src/store/database.ts';
import { openPostgresStore } from '../../src/store/postgres-store.ts';
import type { Store } from '../../src/store/store.ts';
import { readKeyFile } from '../../src/system/key-file.ts';
import { visitsHolders } from '../e2e/support/visits.ts';
import { startWeir, type TestWeir, type WeirOptions } from '../e2e/support/weir.ts';
import { type Customer, onceClient } from './gateway-load.ts';

export interface GatewayWorld {
  readonly weir: TestWeir;
  readonly customers: readonly Customer[];
  readonly gatewayKey: Uint8Array;
  /** Reads what the gateway's store has, beside the gateway. */
  readonly read: <Answer>(use: (store: Store) => Promise<Answer>) => Promise<Answer>;
  close(): Promise<void>;
}

const PARTIES = ['clinic', 'hospital'] as const;
const ANALYSTS = ['bank', 'institute', 'ministry'] as const;
const PLAN: AggregatePlan = {
  kind: 'aggregate',
  table: 'visits',
  groups: [{ column: 'kind' }],
  measures: [{ as: 'visits', fn: 'count' }],
  select: [],
};
/** More than any test runs. */
const MANY = 1_000_000;
const LIMITS = {
  runsTotal: MANY,
  runsPerMonth: MANY,
  runsPerDay: MANY,
  rowsTotal: 1_000_000_000,
  computeMilliUnitsTotal: 1_000_000_000,
};

/** @param where - the gateway's store; `postgres` names a schema of its own. */
export async function startGatewayWorld(
  where: Pick<WeirOptions, 'postgres' | 'lateStore'>,
): Promise<GatewayWorld> {
  const holders = visitsHolders(PARTIES, 20);
  const weir = await startWeir({ holders, controlled: true, ...where });
  const customers: Customer[] = [];
  try {
    for (const party of ANALYSTS) customers.push(await customerOf(weir, party));
  } catch (error) {
    await weir.close();
    throw error;
  }
  const directory = join(weir.directory, 'gateway');
  const { publicKey: gatewayKey } = readKeyFile(identityKeyFile(directory), 'ed25519');
  return {
    weir,
    customers,
    gatewayKey,
    read: async (use) => {
      const store = await openReader(directory, where.postgres);
      try {
        return await use(store);
      } finally {
        await store.close();
      }
    },
    close: async () => {
      for (const { client } of customers) client.close();
      await weir.close();
    },
  };
}

async function customerOf(weir: TestWeir, party: string): Promise<Customer> {
  const { analyst, keys } = await weir.addAnalyst(party);
  const contract = await weir.agree(PLAN, { limits: LIMITS }, {}, analyst);
  analyst.close();
  const token = readFileSync(tokenFileOf(join(weir.directory, party)), 'utf8').trim();
  return {
    client: onceClient(weir.url, token),
    contract,
    prepare: () => weir.prepare(contract, {}, keys),
  };
}

async function openReader(directory: string, postgres: WeirOptions['postgres']): Promise<Store> {
  if (postgres !== undefined) {
    const { url, schema = 'weir' } = postgres;
    return openPostgresStore({ url, schema, migrations: GATEWAY_MIGRATIONS, connections: 1 });
  }
  const db = wrap(new DatabaseSync(databaseFile(directory), { readOnly: true }));
  return {
    query: (sql, params = []) => Promise.resolve(db.all(sql, params)),
    execute: () => Promise.reject(new Error('who checks the books does not write in them')),
    close: () => Promise.resolve(db.close()),
  };
}
