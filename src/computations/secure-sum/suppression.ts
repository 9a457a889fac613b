/** Which cells may be released: derived by every domain from the opened counts, and compared. */
import { createHash } from 'node:crypto';
import { AbortError } from '../../errors.ts';
import type { CountedCells, DisclosureStage, StageRules } from '../../disclosure/stage.ts';
import { eddsaSuite, type KeyPair } from '../../system/signature-suite.ts';
import { equalBytes } from '../../../protocols/common/bytes.ts';
import type { MapStatement } from '../../../protocols/secure-sum/messages.ts';
import { mapHash } from '../../../protocols/secure-sum/party.ts';
import type { Shape } from './shape.ts';

const HASH = {
  sha256: (message: Uint8Array): Uint8Array =>
    new Uint8Array(createHash('sha256').update(message).digest()),
};

/** Cells of the labels the request chose, one byte a cell; the first group is the most significant. */
export function selectedCells(shape: Shape): Uint8Array<ArrayBuffer> {
  let cells = Uint8Array.of(1);
  for (const [group, dictionary] of shape.groups.entries()) {
    const chosen = shape.chosen[group];
    const wanted = chosen === undefined ? undefined : new Set(chosen);
    const digits = Uint8Array.from([...dictionary.labels, undefined], (label) =>
      wanted === undefined || (label !== undefined && wanted.has(label)) ? 1 : 0,
    );
    const next = new Uint8Array(cells.length * digits.length);
    for (let cell = cells.indexOf(1); cell !== -1; cell = cells.indexOf(1, cell + 1)) {
      next.set(digits, cell * digits.length);
    }
    cells = next;
  }
  return cells;
}

/**
 * Maps for the rows, then for each measured column: 1 a cell that may be released. A column's
 * total needs enough non-null values of its own: a cell of many rows may hold one value.
 */
export function suppressionMaps(
  shape: Shape,
  opened: readonly CountedCells[],
  stages: readonly DisclosureStage[],
  rules: StageRules,
): readonly Uint8Array[] {
  const selected = selectedCells(shape);
  const partition = { radices: shape.radices, selected };
  let rows: Uint8Array = selected;
  return opened.map((cells, index) => {
    const permitted = rows.slice();
    for (const stage of stages) {
      if (shape.noise === undefined || stage.exactOnly !== true) {
        stage.apply({ ...cells, partition }, rules, permitted);
      }
    }
    // A stage only clears: one that set an entry again would release a cell another one withheld.
    for (let cell = 0; cell < permitted.length; cell++) {
      if (rows[cell] !== 1) permitted[cell] = 0;
    }
    if (index === 0) rows = permitted;
    return permitted;
  });
}

/** This domain's signed statement of the maps. */
export function signMaps(
  descriptorHash: Uint8Array,
  maps: readonly Uint8Array[],
  identity: KeyPair,
): MapStatement {
  const hash = mapHash(HASH, descriptorHash, maps);
  return { hash, signature: eddsaSuite.sign('weir/suppression/v1', hash, identity) };
}

/**
 * Every party stated and signed the same maps as this one.
 * @throws AbortError `transcript-mismatch`
 */
export function verifyMaps(
  own: MapStatement,
  statements: readonly MapStatement[],
  signKeys: readonly Uint8Array[],
): void {
  const agrees = signKeys.every((signKey, index) => {
    const statement = statements[index];
    return (
      statement !== undefined &&
      equalBytes(statement.hash, own.hash) &&
      eddsaSuite.isValid('weir/suppression/v1', statement.hash, statement.signature, signKey)
    );
  });
  if (!agrees) {
    throw new AbortError(
      'transcript-mismatch',
      'The domains do not agree on which cells may be released.',
    );
  }
}
