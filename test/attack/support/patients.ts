/**
 * A world to attack: three hospitals with patients, real domains behind a link that the attacker's
 * gateway plays honestly, and contracts that the attacker's analysts may ask under.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Release } from '../../../src/computations/computation.ts';
import type { Contract } from '../../../src/contracts/contract.ts';
import type { NoiseTerms } from '../../../src/contracts/noise.ts';
import { WeirError } from '../../../src/errors.ts';
import type { PartyId } from '../../../src/system/ids.ts';
import { HOLDERS, makeContract } from '../../fixtures/contract.ts';
import { askFor } from '../../e2e/support/attack-case.ts';
import { Attacker } from '../../e2e/support/attacker.ts';
import { type HolderSetup, tableFile } from '../../e2e/support/holders.ts';

export const REGIONS = ['north', 'south', 'east'];
export const AGES = ['young', 'old'];
export const BOUNDS = { minimum: '0', maximum: '1000', scale: 0 };

export interface Patient {
  readonly person: string;
  readonly region: string;
  readonly age: string;
  readonly amount: number;
  readonly consent: 'yes' | 'no';
}

/** The one the attacker is after. */
export const VICTIM: Patient = {
  person: 'victim',
  region: 'north',
  age: 'old',
  amount: 777,
  consent: 'yes',
};

/** Patients of a hospital: many in each cell; the victim is one of the first hospital's. */
export function patientsOf(index: number): Patient[] {
  const others = Array.from(
    { length: 60 },
    (_, at): Patient => ({
      person: `p${index}-${at}`,
      region: REGIONS[at % 3] ?? '',
      age: AGES[Math.floor(at / 3) % 2] ?? '',
      amount: (at * 37 + index * 11) % 500,
      consent: 'yes',
    }),
  );
  return index === 0 ? [...others, VICTIM] : others;
}

export const csvOf = (patients: readonly Patient[]): string =>
  [
    'person,region,age,amount,consent',
    ...patients.map(({ person, region, age, amount, consent }) =>
      [person, region, age, amount, consent].join(','),
    ),
    '',
  ].join('\n');

export function registrationOf(changes: object): object {
  const text = { type: 'text', usage: ['group', 'filter'] };
  return {
    format: 'weir-dataset/1',
    name: 'patients',
    title: { zh: '患者', en: 'Patients' },
    grade: 'general',
    personalInformation: 'none',
    legalBasis: 'Test data',
    source: { kind: 'duckdb', format: 'csv', files: ['stays.csv'] },
    privacyUnit: 'person',
    consent: { column: 'consent', granted: ['yes'] },
    partitions: [['region'], ['region', 'age']],
    columns: [
      { name: 'person', type: 'text', usage: [] },
      { name: 'region', ...text, labels: REGIONS },
      { name: 'age', ...text, labels: AGES },
      { name: 'amount', type: 'integer', usage: ['sum', 'avg', 'var'], bounds: BOUNDS },
      { name: 'consent', type: 'text', usage: [] },
    ],
    ...changes,
  };
}

export interface World {
  readonly attacker: Attacker;
  /** Replaces a hospital's patients on its disk. */
  rewrite(index: number, patients: readonly Patient[]): Promise<void>;
  close(): Promise<void>;
}

/** @param registration - members to change; a defence that is off is off here or in a contract. */
export async function openWorld(
  registration: object = {},
  config: object = {},
  setup: Partial<HolderSetup> = {},
): Promise<World> {
  const root = await mkdtemp(join(tmpdir(), 'weir-attack-'));
  const attacker = await Attacker.open(root, undefined, undefined, (party) => ({
    table: {
      csv: csvOf(patientsOf(HOLDERS.indexOf(party))),
      registration: registrationOf(registration),
    },
    config,
    ...setup,
  }));
  return {
    attacker,
    rewrite: (index, patients) =>
      writeFile(tableFile(join(root, HOLDERS[index] ?? '')), csvOf(patients)),
    close: async () => {
      await attacker.close();
      await rm(root, { recursive: true, force: true });
    },
  };
}

export const EXACT: Contract['disclosure'] = {
  smallestCell: 3,
  smallestContributors: 1,
  complementary: true,
};

export const NOISE: NoiseTerms = {
  mechanism: 'discrete-gaussian',
  microRhoPerRun: 50_000,
  deltaExponent: 9,
  cellsPerUnit: 1,
  rowsPerCell: 1,
  honestDomains: 2,
};

/** Members of a contract of one of the attacker's analysts: a sum over the groups. */
export function asking(
  attacker: Attacker,
  groups: readonly string[],
  disclosure: Contract['disclosure'] = EXACT,
  changes: Partial<Contract> = {},
): Partial<Contract> {
  const labels: Record<string, string[]> = { region: REGIONS, age: AGES };
  const { limits } = makeContract(attacker.cast);
  return {
    datasets: HOLDERS.map((holder) => ({
      holder,
      dataset: 'patients',
      version: 'any',
      rowsMax: 1024,
    })),
    plan: {
      kind: 'aggregate',
      table: 'patients',
      groups: groups.map((column) => ({ column })),
      measures: [
        { as: 'patients', fn: 'count' },
        { as: 'total', fn: 'sum', column: 'amount' },
      ],
      select: [],
    },
    dictionaries: groups.map((column) => ({ column, labels: labels[column] ?? [] })),
    bounds: [{ column: 'amount', ...BOUNDS }],
    disclosure,
    limits: { ...limits, runsPerDay: 10, microRhoTotal: 100_000_000 },
    ...changes,
  };
}

/** The table that an honest run gives the attacker, or the code of its refusal. */
export async function answer(
  { attacker }: World,
  contract: Partial<Contract>,
  parties: readonly PartyId[] = HOLDERS,
): Promise<Release['rows'] | string> {
  await attacker.linked();
  try {
    return (await attacker.runHonestly(askFor(attacker.cast, contract), parties)).release.rows;
  } catch (error) {
    if (error instanceof WeirError) return error.code;
    throw error;
  }
}

/** A measure of the row with these labels. */
export function valueOf(
  rows: Release['rows'] | string,
  labels: readonly string[],
  column: number,
): number {
  if (typeof rows === 'string') throw new Error(`refused: ${rows}`);
  const row = rows.find((one) => labels.every((label, index) => one[index] === label));
  return Number(row?.[labels.length + column]);
}
