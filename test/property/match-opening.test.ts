/** What a holder's own, signed statement may say: anything but the shape of the run ends the opening. */
import { describe, expect, it } from 'vitest';
import { openMatch } from '../../src/client/match-opener.ts';
import type { Release } from '../../src/computations/computation.ts';
import { encodeStatement, STATEMENT_LENGTH_MAX } from '../../src/computations/psi/statement.ts';
import {
  SEALED_GROUPS_COLUMN,
  SEALED_KEYS_COLUMN,
  SEALED_SUM_COLUMN,
} from '../../src/computations/psi/wire.ts';
import type { Contract } from '../../src/contracts/contract.ts';
import { contractHash } from '../../src/contracts/signed-documents.ts';
import { JWS_LENGTH_MAX, signDocument } from '../../src/contracts/signing.ts';
import { HashSchema, RunIdSchema, type PartyId } from '../../src/system/ids.ts';
import {
  BOUNDS,
  cast,
  FAR,
  groupedContract,
  LABELS,
  NEAR,
  recipient,
  recipientKeys,
  summedContract,
} from '../fixtures/groups.ts';
import { EAST, matchContract, WEST } from '../fixtures/match.ts';

const RUN = RunIdSchema.parse('01890a5d-ac96-774b-bcce-b302099a8058');
const OTHER_RUN = RunIdSchema.parse('01890a5d-ac96-774b-bcce-b302099a8059');
const hash = (digit: string) => HashSchema.parse(digit.repeat(64));
const placeOf = (contract: Contract) => ({ runId: RUN, contractHash: contractHash(contract) });

type Rows = Release['rows'];
const bare = { columns: ['as the holder likes'], suppressedCells: 0, releasedCells: 0 };

/** What a holder tells, signed with its own key; `further` changes which run it says it is of. */
function stated(
  contract: Contract,
  party: PartyId,
  rows: Rows,
  further: Partial<Parameters<typeof encodeStatement>[0]> = {},
): Promise<string> {
  const place = {
    ...placeOf(contract),
    requestHash: hash('a'),
    descriptorHash: hash('b'),
    ...further,
  };
  const identity = cast.keyOf(party);
  return encodeStatement(place, party, { ...bare, rows }, contract.recipient, identity);
}

/** Opens what a gateway passes on under this column, unchanged. */
function open(contract: Contract, column: string, texts: Rows[number]): Promise<Release> {
  const rows = texts.map((text) => [text]);
  const release = { columns: [column], rows, suppressedCells: 0, releasedCells: 0 };
  return openMatch(release, placeOf(contract), contract, recipientKeys);
}

const malformed = { family: 'abort', code: 'transcript-mismatch' };
const summed = matchContract(
  { ask: 'sum', receiver: WEST, sum: { as: 'total', column: 'delay' } },
  { recipient, bounds: BOUNDS },
  cast,
);
const openSum = async (received: Rows, sent: Rows): Promise<Release> =>
  open(summed, SEALED_SUM_COLUMN, [
    await stated(summed, WEST, received),
    await stated(summed, EAST, sent),
  ]);

describe('a holder’s statement of a sum', () => {
  it('is a number and two residues; nothing else is opened', async () => {
    await expect(openSum([[6, '10']], [['52']])).resolves.toMatchObject({ rows: [[6, '42']] });
    const wrong: readonly (readonly [Rows, Rows])[] = [
      [[['6', '10']], [['52']]],
      [[[null, '10']], [['52']]],
      [[[]], [['52']]],
      [[[6]], [['52']]],
      [[[6, 10]], [['52']]],
      [[[6, '-10']], [['52']]],
      [[[6, '1e3']], [['52']]],
      [[[6, '']], [['52']]],
      [[[6, '1'.repeat(21)]], [['52']]],
      [[[6, '10']], [[52]]],
      [[[6, '10']], [['0x10']]],
      [[[6, '10']], [[]]],
      [[[6, '10']], []],
    ];
    for (const [received, sent] of wrong) {
      await expect(openSum(received, sent), JSON.stringify([received, sent])).rejects.toMatchObject(
        malformed,
      );
    }
  });

  it('is there from both holders, each its own', async () => {
    const received = await stated(summed, WEST, [[6, '10']]);
    const sent = await stated(summed, EAST, [['52']]);
    await expect(open(summed, SEALED_SUM_COLUMN, [received, sent])).resolves.toBeDefined();
    for (const texts of [[], [received], [received, 52], [received, null]]) {
      const opened = open(summed, SEALED_SUM_COLUMN, texts);
      await expect(opened).rejects.toMatchObject(malformed);
    }
    // Signed by another than it is due from, and naming the other as its party.
    const swapped = open(summed, SEALED_SUM_COLUMN, [sent, received]);
    await expect(swapped).rejects.toMatchObject({ code: 'signature-invalid' });
    const { statement } = JSON.parse(sent) as { statement: object };
    const posing = { ...statement, party: WEST };
    const jws = signDocument('weir/match/v1', posing, cast.keyOf(EAST));
    const named = JSON.stringify({ statement: posing, jws });
    await expect(open(summed, SEALED_SUM_COLUMN, [received, named])).rejects.toMatchObject(
      malformed,
    );
  });

  it('is of the run and contract that were asked for', async () => {
    const received = await stated(summed, WEST, [[6, '10']]);
    for (const other of [{ runId: OTHER_RUN }, { contractHash: hash('c') }]) {
      const sent = await stated(summed, EAST, [['52']], other);
      await expect(open(summed, SEALED_SUM_COLUMN, [received, sent])).rejects.toMatchObject(
        malformed,
      );
    }
  });

  it('is a text of its form, and no longer than one can be', async () => {
    const received = await stated(summed, WEST, [[6, '10']]);
    const sent = await stated(summed, EAST, [['52']]);
    const parsed = JSON.parse(sent) as { statement: object; jws: string };
    const texts = [
      '',
      'no JSON',
      'null',
      JSON.stringify({ ...parsed, more: 1 }),
      JSON.stringify({ ...parsed, statement: { ...parsed.statement, format: 'weir-match/2' } }),
      JSON.stringify({ ...parsed, jws: 'a'.repeat(JWS_LENGTH_MAX + 1) }),
    ];
    for (const text of texts) {
      await expect(open(summed, SEALED_SUM_COLUMN, [received, text])).rejects.toMatchObject(
        malformed,
      );
    }
    const padded = (length: number): Promise<Release> =>
      open(summed, SEALED_SUM_COLUMN, [received, sent.padEnd(length)]);
    await expect(padded(STATEMENT_LENGTH_MAX)).resolves.toBeDefined();
    await expect(padded(STATEMENT_LENGTH_MAX + 1)).rejects.toMatchObject(malformed);
  });

  it('says nothing of a match whose number alone the gateway has', async () => {
    const counted = matchContract({ ask: 'cardinality', receiver: WEST }, { recipient }, cast);
    const text = await stated(counted, WEST, [[6, '10']]);
    await expect(open(counted, SEALED_SUM_COLUMN, [text, text])).rejects.toMatchObject(malformed);
  });

  it('is told apart from a list of keys, which is the receiver’s alone', async () => {
    const listed = matchContract({ ask: 'intersection', receiver: WEST }, { recipient }, cast);
    const keys = await stated(listed, WEST, [['2001-01-01', 'jfk']]);
    await expect(open(listed, SEALED_KEYS_COLUMN, [keys])).resolves.toMatchObject({
      rows: [['2001-01-01', 'jfk']],
    });
    const senders = await stated(listed, EAST, [['2001-01-01', 'jfk']]);
    await expect(open(listed, SEALED_KEYS_COLUMN, [senders])).rejects.toMatchObject({
      code: 'signature-invalid',
    });
  });
});

describe('a holder’s statement by groups', () => {
  const number = (value: number): string => String(value).padStart(10, '0');
  const withheld = '-'.repeat(10);
  const numbers: Rows = [[number(7)], [number(12)], [withheld], [withheld]];
  const halves: Rows = numbers.map(([text], cell) => [text ?? null, String(10 + cell)]);
  const sentHalves: Rows = numbers.map((_, cell) => [String(52 + cell)]);

  it('has a number of ten digits or none in each cell; nothing else is opened', async () => {
    const counted = groupedContract({ ask: 'cardinality' });
    const openGroups = async (rows: Rows): Promise<Release> =>
      open(counted, SEALED_GROUPS_COLUMN, [await stated(counted, WEST, rows)]);
    expect(numbers).toHaveLength(LABELS.length + 1);
    await expect(openGroups(numbers)).resolves.toMatchObject({
      rows: [
        [NEAR, 7],
        [FAR, 12],
      ],
    });
    const wrong: readonly Rows[] = [
      [],
      numbers.slice(1),
      [...numbers, [withheld]],
      numbers.with(0, [number(7).slice(1)]),
      numbers.with(0, [`${number(7)}0`]),
      numbers.with(0, ['-000000007']),
      numbers.with(0, ['7'.padStart(10)]),
      numbers.with(0, [7]),
      numbers.with(0, []),
      numbers.with(0, [null]),
    ];
    for (const rows of wrong) {
      await expect(openGroups(rows), JSON.stringify(rows)).rejects.toMatchObject(malformed);
    }
  });

  it('has both halves of the sum of each cell that is shown', async () => {
    const contract = summedContract();
    const openGroups = async (received: Rows, sent: Rows): Promise<Release> =>
      open(contract, SEALED_GROUPS_COLUMN, [
        await stated(contract, WEST, received),
        await stated(contract, EAST, sent),
      ]);
    await expect(openGroups(halves, sentHalves)).resolves.toMatchObject({
      rows: [
        [NEAR, 7, '42'],
        [FAR, 12, '42'],
      ],
    });
    const wrong: readonly (readonly [Rows, Rows])[] = [
      [numbers, sentHalves],
      [halves.with(1, [number(12), 11]), sentHalves],
      [halves.with(1, [number(12), '-11']), sentHalves],
      [halves, sentHalves.slice(1)],
      [halves, [...sentHalves, ['0']]],
      [halves, sentHalves.with(1, [])],
      [halves, sentHalves.with(1, ['5 3'])],
      [halves, []],
    ];
    for (const [received, sent] of wrong) {
      await expect(
        openGroups(received, sent),
        JSON.stringify([received, sent]),
      ).rejects.toMatchObject(malformed);
    }
  });
});
