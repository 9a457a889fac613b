import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planRefusals } from '../../src/catalog/check-plan.ts';
import type { PublishedDataset } from '../../src/catalog/published.ts';
import { checkContract } from '../../src/contracts/check-contract.ts';
import { checkAnalystKey, ownSetItems } from '../../src/contracts/check-own-set.ts';
import { ContractSchema, type Contract } from '../../src/contracts/contract.ts';
import { describeContract, plainText } from '../../src/contracts/plain-words.ts';
import type { OwnSetPlan } from '../../src/contracts/plan.ts';
import type { Descriptor } from '../../src/contracts/descriptor.ts';
import type { RunRequest } from '../../src/contracts/request.ts';
import { questionOf } from '../../src/disclosure/question.ts';
import { HashSchema } from '../../src/system/ids.ts';
import { systemRandom } from '../../src/system/random.ts';
import { createExchangeKeys } from '../../src/system/exchange-keys.ts';
import { matchContract } from '../fixtures/match.ts';
import {
  CLINIC,
  OWN_SET_NOISE,
  OWN_SET_PLAN,
  ownSetContract,
} from '../fixtures/own-set-contract.ts';
import { publishFlights } from '../support/published-flights.ts';

const codeOf = (work: () => unknown): string => {
  try {
    work();
    return 'accepted';
  } catch (error) {
    return String((error as { code?: unknown }).code);
  }
};
const disclosureWith = (noise: Partial<Record<keyof typeof OWN_SET_NOISE, unknown>>): object => ({
  smallestCell: 3,
  smallestContributors: 1,
  noise: { ...OWN_SET_NOISE, ...noise },
});

describe('a contract over an analyst’s own set', () => {
  it('is accepted as the fixture has it, and says in plain words what is signed for', () => {
    const contract = ownSetContract();
    expect(ContractSchema.parse(contract)).toEqual(contract);
    expect(codeOf(() => checkContract(contract))).toBe('accepted');
    const text = plainText(describeContract(contract), 'en');
    expect(text).toContain('How many ids of a set that the analyst brings');
    expect(text).toContain('asking again is new noise and a new cost');
    expect(text).toContain('at most 256 items');
    expect(plainText(describeContract(contract), 'zh')).toContain('数目总是加噪声');
  });

  const own = ownSetContract();
  it.each<[string, Partial<OwnSetPlan>, object]>([
    ['no noise', {}, { disclosure: { smallestCell: 3, smallestContributors: 1 } }],
    ['noise for more than one cell', {}, { disclosure: disclosureWith({ cellsPerUnit: 2 }) }],
    ['noise for more than one row', {}, { disclosure: disclosureWith({ rowsPerCell: 2 }) }],
    ['another holder’s noise', {}, { disclosure: disclosureWith({ honestDomains: 2 }) }],
    ['a budget below one run', {}, { limits: { ...own.limits, microRhoTotal: 19_999 } }],
    ['a size that is no power of two', { setSizeMax: 100 }, {}],
    ['a date format of a text', { key: { ...OWN_SET_PLAN.key, dateFormat: 'iso' } }, {}],
    ['the protocol of two holders', {}, { protocol: { name: 'psi' } }],
    ['the protocol of sums', {}, { protocol: { name: 'secure-sum' } }],
    ['a minimum of two', {}, { minimumParties: 2 }],
    ['the holder as recipient', {}, { recipient: { ...own.recipient, id: CLINIC } }],
    ['idle bounds', {}, { bounds: [{ column: 'x', minimum: '0', maximum: '1', scale: 0 }] }],
  ])('is refused with %s', (_, changes, further) => {
    const contract = ownSetContract(changes, further as Partial<Contract>);
    expect(codeOf(() => checkContract(contract))).toBe('malformed-message');
  });

  it('alone has one holder and its own protocol', () => {
    const match = matchContract();
    const alone = { ...match, minimumParties: 1 };
    expect(codeOf(() => checkContract(alone))).toBe('malformed-message');
    const named = { ...match, protocol: { name: 'psi-own-set' } } as Contract;
    expect(codeOf(() => checkContract(named))).toBe('malformed-message');
  });
});

describe('the published dataset of an own-set contract', () => {
  const codes = (unit: string | undefined): unknown[] => {
    const { privacyUnit: _, partitions: __, columns: ___, ...base } = publishFlights(CLINIC);
    const column = (name: string): object => ({ name, type: 'text', usage: ['join'] });
    const dataset = {
      ...base,
      name: 'patients',
      rowsMax: 1024,
      columns: [column('person'), column('visit')],
      partitions: [],
      ...(unit === undefined ? {} : { privacyUnit: unit }),
    } as unknown as PublishedDataset;
    return planRefusals(ownSetContract(), [dataset]).map(({ code }) => code);
  };

  it('has persons in the column that is matched: noise for one id must hide one person', () => {
    expect(codes('person')).toEqual([]);
    expect(codes('visit')).toEqual(['noise-required']);
    expect(codes(undefined)).toContain('noise-required');
  });
});

describe('the size that a request announces', () => {
  it('is one power of two up to the contract’s, which is taken where it says nothing', () => {
    expect(ownSetItems(OWN_SET_PLAN, {})).toBe(256);
    for (const items of [16, 32, 64, 128, 256]) {
      expect(ownSetItems(OWN_SET_PLAN, { items: [String(items)] })).toBe(items);
    }
    expect(codeOf(() => ownSetItems(OWN_SET_PLAN, { items: ['512'] }))).toBe(
      'plan-outside-contract',
    );
  });

  it('is refused in any other spelling', () => {
    const spelled = fc.oneof(
      fc.constantFrom('', '0', '8', '-16', '16.0', '1e2', ' 16', '016', '24', '4294967296'),
      fc.string({ maxLength: 12 }).filter((text) => !/^(?:16|32|64|128|256)$/.test(text)),
    );
    fc.assert(
      fc.property(spelled, (text) => {
        expect(['parameter-invalid', 'plan-outside-contract']).toContain(
          codeOf(() => ownSetItems(OWN_SET_PLAN, { items: [text] })),
        );
      }),
    );
    for (const args of [
      { items: ['16', '16'] },
      { sizes: ['16'] },
      { items: ['16'], more: ['1'] },
    ]) {
      expect(codeOf(() => ownSetItems(OWN_SET_PLAN, args))).toBe('parameter-invalid');
    }
  });
});

describe('the analyst’s key of a run', () => {
  const key = Buffer.from(createExchangeKeys(systemRandom).publicKey).toString('base64url');
  const requestWith = (analystKey?: string): RunRequest =>
    (analystKey === undefined ? {} : { analystKey }) as RunRequest;

  it('is there where the analyst takes part, sound, and nowhere else', () => {
    const contract = ownSetContract();
    expect(codeOf(() => checkAnalystKey(contract, requestWith(key)))).toBe('accepted');
    const low = Buffer.alloc(32).toString('base64url');
    for (const bad of [undefined, low]) {
      expect(codeOf(() => checkAnalystKey(contract, requestWith(bad)))).toBe('parameter-invalid');
    }
    expect(codeOf(() => checkAnalystKey(matchContract(), requestWith()))).toBe('accepted');
    expect(codeOf(() => checkAnalystKey(matchContract(), requestWith(key)))).toBe(
      'parameter-invalid',
    );
  });
});

describe('the question', () => {
  const hash = HashSchema.parse('0'.repeat(64));
  const runOf = (
    ephemeralKey: string,
  ): Pick<Descriptor, 'arguments' | 'noise' | 'engine' | 'parties'> => ({
    arguments: { items: ['16'] },
    noise: OWN_SET_NOISE,
    engine: 'engine',
    parties: [{ id: CLINIC, ephemeralKey, datasetFingerprint: hash }],
  });

  it('is a new one in every run, since nobody can verify that the set is the same', () => {
    const contract = ownSetContract();
    const [one, other] = ['a'.repeat(43), 'b'.repeat(43)];
    expect(questionOf(contract, runOf(one))).not.toBe(questionOf(contract, runOf(other)));
    expect(questionOf(contract, runOf(one))).toBe(questionOf(contract, runOf(one)));
    // The control: two holders' match over the same versions is the same question again.
    const match = matchContract();
    expect(questionOf(match, runOf(one))).toBe(questionOf(match, runOf(other)));
  });
});
