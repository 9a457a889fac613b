/**
 * SQL in every string that reaches a domain or the SQL parser: labels and data, each string of a
 * contract, an analyst's query. None runs; rendered carelessly, the same texts do (the controls).
 */
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Contract } from '../../src/contracts/contract.ts';
import { WeirError } from '../../src/errors.ts';
import { compileQuery } from '../../src/query/compile-plan.ts';
import { sqlParserOver, type SqlParser } from '../../src/query/sql-parser.ts';
import { openSerializer } from '../../src/query/sql-serializer.ts';
import { HOLDERS, signByAll } from '../fixtures/contract.ts';
import { asked, askFor } from '../e2e/support/attack-case.ts';
import { Attacker } from '../e2e/support/attacker.ts';
import { publishFlights } from '../support/published-flights.ts';
import {
  answer,
  asking,
  csvOf,
  patientsOf,
  registrationOf,
  valueOf,
  VICTIM,
  type World,
} from './support/patients.ts';

const root = await mkdtemp(join(tmpdir(), 'weir-injection-'));
/** A file that only an injected statement would make. */
const canary = join(root, 'canary.csv');
afterAll(() => rm(root, { recursive: true, force: true }));

const COPY = `COPY (SELECT 1) TO '${canary}'`;
const TEXTS = [
  `'; ${COPY}; --`,
  `"; ${COPY}; --`,
  `') OR person = 'victim' --`,
  `' OR '1'='1`,
  `north' UNION ALL SELECT person FROM patients --`,
  `\\'; ${COPY}; --`,
  `$$; ${COPY}; $$`,
  `$1; ${COPY}`,
  `E'\\x27' || 'north'`,
  `%' OR TRUE --`,
  `/* */ north */ OR 1=1 /*`,
  `{{region}} \${region} ?`,
  `north’ OR ’1’=’1`,
];

describe('labels and rows that are SQL', () => {
  const regions = [...TEXTS, 'north'];
  const rows = HOLDERS.map((_, index) =>
    patientsOf(index).map((patient, at) => ({ ...patient, region: regions[at % 14] ?? '' })),
  );
  const quotedCsv = (index: number): string =>
    csvOf(
      (rows[index] ?? []).map((patient) => ({
        ...patient,
        region: `"${patient.region.replaceAll('"', '""')}"`,
      })),
    );
  const dictionary = { column: 'region', labels: regions };
  let world: World;
  let attacker: Attacker;

  beforeAll(async () => {
    const columns = (registrationOf({}) as { columns: { name: string }[] }).columns.map((column) =>
      column.name === 'region' ? { ...column, labels: regions } : column,
    );
    attacker = await Attacker.open(root, undefined, undefined, (party) => ({
      table: {
        csv: quotedCsv(HOLDERS.indexOf(party)),
        registration: registrationOf({ columns }),
      },
    }));
    world = { attacker, rewrite: async () => undefined, close: async () => undefined };
  });
  afterAll(() => attacker.close());

  it('are labels and rows: the answer is the plain one and nothing ran', async () => {
    const terms = { ...asking(attacker, ['region']), dictionaries: [dictionary] };
    const released = await answer(world, terms);
    for (const region of regions) {
      const members = rows.flat().filter((patient) => patient.region === region);
      expect(valueOf(released, [region], 0)).toBe(members.length);
      const total = members.reduce((sum, { amount }) => sum + amount, 0);
      expect(valueOf(released, [region], 1)).toBe(total);
    }
    expect(existsSync(canary)).toBe(false);
  });

  it('are labels in a selection too', async () => {
    const terms = asking(attacker, ['region']);
    const chosen = [TEXTS[0] ?? '', TEXTS[3] ?? ''];
    const select = [{ column: 'region', in: { values: chosen } }] as const;
    const released = await answer(world, {
      ...terms,
      dictionaries: [dictionary],
      plan: { ...terms.plan, select } as unknown as Contract['plan'],
    });
    expect(Array.isArray(released) && released.map(([label]) => label)).toEqual(chosen);
  });

  it('in any string of a contract that all signed: refused with a code, or the plain answer', async () => {
    const terms = { ...asking(attacker, ['region']), dictionaries: [dictionary] };
    const plain = await answer(world, terms);
    const codes = new Set<string>();
    const { contract } = askFor(attacker.cast, terms).contract;
    const places = stringPlaces(contract).filter(([first]) => !SIGNERS.has(first ?? ''));
    expect(places.length).toBeGreaterThan(30);
    for (const [at, place] of places.entries()) {
      const text = TEXTS[at % TEXTS.length] ?? '';
      const ask = askFor(attacker.cast, terms);
      put(ask.contract.contract as unknown as Node, place, text);
      // The attacker has every signature: what is left is what the domain checks itself.
      codes.add(await refusalOf(attacker, ask.contract.contract));
    }
    // Names are refused; titles and purposes may say what they like.
    expect(codes).toEqual(new Set(['malformed-message', 'answered']));
    expect(await answer(world, terms)).toEqual(plain);
    expect(existsSync(canary)).toBe(false);
  });
});

/** Members that name who signs: another name there is another contract, and no string of a query. */
const SIGNERS: ReadonlySet<string> = new Set(['analyst', 'holders', 'recipient']);

type Node = Record<string, unknown>;

function stringPlaces(value: unknown, path: readonly string[] = []): string[][] {
  if (typeof value === 'string') return [[...path]];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, one]) => stringPlaces(one, [...path, key]));
}

function put(root: Node, path: readonly string[], text: string): void {
  let node = root;
  for (const key of path.slice(0, -1)) node = node[key] as Node;
  node[path.at(-1) ?? ''] = text;
}

/** The contract goes to the domains as it is, past every check that an honest gateway makes. */
async function refusalOf(attacker: Attacker, contract: Contract): Promise<string> {
  try {
    await attacker.runHonestly(asked(attacker.cast, signByAll(contract, attacker.cast)));
    return 'answered';
  } catch (error) {
    if (error instanceof WeirError) return error.code;
    throw error;
  }
}

describe('an analyst’s query', () => {
  const published = HOLDERS.map((holder) => publishFlights(holder));
  let parser: SqlParser;
  beforeAll(async () => {
    parser = sqlParserOver(await openSerializer());
  });
  afterAll(() => parser.close());

  const around = (text: string): string[] => [
    text,
    `SELECT count(*) FROM departures; ${text}`,
    `SELECT count(*) FROM departures WHERE month = '${text}`,
    `SELECT count(*) FROM departures WHERE month = '${text.replaceAll("'", "''")}'`,
    `SELECT "${text}" FROM departures`,
    `SELECT count(*) AS "${text.replaceAll('"', '""')}" FROM departures`,
    `SELECT count(*) FROM '${text}'`,
    `SELECT count(*) FROM departures WHERE month = $${text}`,
  ];

  it.each(TEXTS)('%s runs nowhere in it', async (text) => {
    for (const query of around(text)) {
      const compiled = await compileQuery(parser, query, published).then(
        ({ draft, refusals }) => ({ draft, refusals, code: undefined }),
        (error: unknown) => {
          if (!(error instanceof WeirError)) throw error;
          return { draft: undefined, refusals: [], code: error.code };
        },
      );
      // Either it is refused, or what it says is a label that no column lists.
      expect(compiled.code !== undefined || compiled.refusals.length > 0).toBe(true);
      expect(compiled.code).not.toBe('internal');
    }
    expect(existsSync(canary)).toBe(false);
  });
});

describe('control: text pasted into a statement', () => {
  it('runs, and finds the victim', async () => {
    const file = join(root, 'patients.csv');
    await writeFile(file, csvOf(patientsOf(0)));
    const instance = await DuckDBInstance.create(':memory:');
    const connection = await instance.connect();
    const amountOf = async (region: string): Promise<unknown> => {
      const statement = `SELECT sum(amount)::INTEGER FROM read_csv('${file}') WHERE (region = '${region}')`;
      return (await connection.runAndReadAll(statement)).getRows()[0]?.[0];
    };
    expect(await amountOf(`none') OR (person = 'victim`)).toBe(VICTIM.amount);
    expect(existsSync(canary)).toBe(false);
    await connection.run(`SELECT '${TEXTS[0] ?? ''}`);
    expect(existsSync(canary)).toBe(true);
    await rm(canary);
    connection.closeSync();
    instance.closeSync();
  });
});
