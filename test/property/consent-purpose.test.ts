import { describe, expect, it } from 'vitest';
import { planRefusals } from '../../src/catalog/check-plan.ts';
import { DatasetRegistrationSchema } from '../../src/catalog/dataset.ts';
import { flightsRegistration } from '../../src/cli/demo/flights-registration.ts';
import { describeContract, plainText } from '../../src/contracts/plain-words.ts';
import { boundToPurpose } from '../../src/domain/purpose-source.ts';
import { DEFAULT_ENGINE_LIMITS } from '../../src/domain/sources/engine-limits.ts';
import { openDuckDbSource } from '../../src/domain/sources/duckdb-source.ts';
import { HOLDERS } from '../fixtures/contract.ts';
import { flightsContract, publishFlights } from '../support/published-flights.ts';
import {
  FORMATS,
  inTemporaryDirectory,
  plainAnswer,
  registrationOf,
  writeTable,
} from '../support/source-tables.ts';

const CONSENT = {
  column: 'kind',
  granted: ['all'],
  purposes: { research: ['r', 'rb'], billing: ['b', 'rb'] },
};
const KINDS = ['all', 'r', 'r', 'b', 'rb', 'none', null, 'ALL', ''];

describe('consent per purpose', () => {
  it.each(FORMATS)(
    'counts rows that consent to the purpose, and no other, in %s',
    async (format) => {
      await inTemporaryDirectory(async (directory) => {
        const rows = KINDS.map((kind) => ({ at: null, kind, whole: '1', exact: null, real: null }));
        await writeTable(directory, format, rows);
        const source = await openDuckDbSource({
          registration: DatasetRegistrationSchema.parse({
            ...registrationOf(format, ['all']),
            consent: CONSENT,
          }),
          directory,
          spillDirectory: `${directory}/spill`,
          limits: DEFAULT_ENGINE_LIMITS,
        });
        const seen = async (purpose: string | undefined): Promise<unknown[]> => {
          const bound = boundToPurpose(source, purpose);
          const answer = await bound.aggregate({ groups: [], chosen: [], sums: [] });
          const read: (string | null)[] = [];
          for await (const chunk of bound.streamColumns(['kind'], 10)) {
            read.push(...chunk.map(([kind]) => kind ?? null));
          }
          expect(plainAnswer(answer).counts).toEqual([BigInt(read.length)]);
          return read.toSorted((a, b) => ((a ?? '') < (b ?? '') ? -1 : 1));
        };
        expect(await seen('research')).toEqual(['all', 'r', 'r', 'rb']);
        expect(await seen('billing')).toEqual(['all', 'b', 'rb']);
        // Nobody consents to a purpose that is not stated, not listed, or the name of a method.
        for (const purpose of [undefined, 'other', 'constructor']) {
          expect(await seen(purpose)).toEqual([]);
        }
        const question = { quasiIdentifiers: ['hour'], sensitive: [] };
        expect((await source.examine(question)).rows).toBe(5);
        await source.close();
      });
    },
  );

  it('needs a contract that states a listed purpose, and says so in plain words', () => {
    const consent = { column: 'origin', granted: ['all'], purposes: { research: ['r'] } };
    const published = [
      publishFlights(HOLDERS[0]!, { consent }),
      publishFlights(HOLDERS[1]!),
      publishFlights(HOLDERS[2]!),
    ];
    expect(flightsRegistration('departures').columns.some(({ name }) => name === 'origin')).toBe(
      true,
    );
    const contract = flightsContract(published);
    const refusedFor = (purposeCode?: string): unknown[] =>
      planRefusals(
        { ...contract, ...(purposeCode === undefined ? {} : { purposeCode }) },
        published,
      ).map(({ code, facts }) => [code, facts.party, facts.column, facts.rule]);
    const refusal = ['column-usage-forbids', HOLDERS[0], 'origin', 'consent per purpose'];
    expect(refusedFor()).toEqual([refusal]);
    expect(refusedFor('billing')).toEqual([refusal]);
    expect(refusedFor('toString')).toEqual([refusal]);
    expect(refusedFor('research')).toEqual([]);
    const words = describeContract({ ...contract, purposeCode: 'research' });
    expect(plainText(words, 'en')).toContain('Purpose code research');
    expect(plainText(words, 'zh')).toContain('目的代码 research');
  });
});
