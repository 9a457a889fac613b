/**
 * Whether a contract is consistent in itself. Asked when it is proposed, before anyone signs, and
 * by every domain before every run.
 */
import { InputError } from '../errors.ts';
import type { ErrorFacts } from '../errors.ts';
import { type Contract, CONTRACT_BYTES_MAX } from './contract.ts';
import { checkWeighted } from './check-weighted.ts';
import { isStrongEncryptionKey, isStrongSignKey } from './key-strength.ts';
import { checkMatch } from './check-match.ts';
import { checkOwnSet } from './check-own-set.ts';
import { CELLS_MAX, OTHER_LABEL } from './plan.ts';
import type { AggregatePlan } from './plan.ts';
import { dictionaryOf, measuredColumns, partitionCells } from './plan-fits.ts';
import { signatoriesOf } from './signed-documents.ts';

/**
 * Everything a signatory should be able to rely on before reading a contract: no party or key
 * counted twice, every column of the plan with its public labels or bounds and none besides, every
 * parameter used and within its column's labels, dates and time zone that exist.
 * @throws InputError `malformed-message`, `column-unknown`, `too-many-cells`, `query-not-supported`,
 *   `set-too-large`
 */
export function checkContract(contract: Contract): void {
  checkSize(contract);
  checkParties(contract);
  checkTimes(contract);
  checkPrice(contract);
  checkPlanned(contract);
}

/**
 * The part of `checkContract` about datasets, plan and parameters, which a plan that nobody has
 * agreed to yet must pass as well. @throws as `checkContract`
 */
export function checkPlanned(contract: Contract): void {
  checkDatasets(contract);
  const { plan } = contract;
  checkRounding(contract);
  if (plan.kind === 'own-set') return checkOwnSet(contract, plan);
  if (contract.minimumParties < 2) refuse('the minimum of parties is below 2');
  checkNoise(contract);
  if (plan.kind === 'match') return checkMatch(contract, plan);
  checkDominance(contract, plan);
  const { name } = contract.protocol;
  if (name === 'psi' || name === 'psi-own-set')
    refuse(`the protocol ${name} is for plans that match`);
  checkColumns(contract, plan);
  checkSelections(contract, plan);
  if (name === 'secret-weights') checkWeighted(contract, plan);
}

function checkSize(contract: Contract): void {
  const sizeBytes = Buffer.byteLength(JSON.stringify(contract));
  if (sizeBytes <= CONTRACT_BYTES_MAX) return;
  throw new InputError('set-too-large', `The contract has ${sizeBytes} bytes.`, {
    rule: `at most ${CONTRACT_BYTES_MAX} bytes, dictionaries and keys included`,
    remedy: 'Group by columns with fewer or shorter labels.',
  });
}

function checkParties(contract: Contract): void {
  const parties = signatoriesOf(contract);
  refuseRepeated(
    parties.map((party) => party.id),
    'a party is named twice',
  );
  // One key under two names would count one holder twice towards the minimum of parties.
  refuseRepeated(
    parties.map((party) => party.signKey),
    'two parties share a key',
  );
  for (const party of parties) {
    if (party.id === 'gateway') refuse('the party name gateway is reserved');
    if (!isStrongSignKey(party.signKey)) refuse('a signing key is not valid', { party: party.id });
  }
  const { recipient } = contract;
  if (!parties.some((party) => party.id === recipient.id)) {
    refuse('the recipient is neither the analyst nor a holder', { party: recipient.id });
  }
  if (!isStrongEncryptionKey(recipient.encryptionKey)) {
    refuse('the recipient’s encryption key is not valid', { party: recipient.id });
  }
}

/** Never dearer: runs that end at the same time may count each other, and nobody should lose by it. */
function checkPrice({ price }: Contract): void {
  let before = { fromRun: 1, ...price };
  for (const tier of price.tiers ?? []) {
    if (tier.fromRun <= before.fromRun) refuse('price tiers are not in ascending order');
    const dearer =
      tier.perRunMicros > before.perRunMicros ||
      tier.perComputeUnitMicros > before.perComputeUnitMicros;
    if (dearer) refuse('a later price tier is dearer than the one before');
    before = { ...before, ...tier };
  }
}

/** A domain knows its own noise: only what the others added stands between it and their data. */
function checkNoise({ disclosure, minimumParties, limits }: Contract): void {
  const { noise } = disclosure;
  if (noise === undefined) return;
  if (noise.honestDomains > minimumParties - 1) {
    refuse('noise counts on more honest domains than take part besides one of them');
  }
  if (limits.microRhoTotal < noise.microRhoPerRun) {
    refuse('the budget in all is below that of one run');
  }
}

/** A term that no run would hold anything against is no protection, whatever was signed. */
function checkDominance({ disclosure }: Contract, plan: AggregatePlan): void {
  if (disclosure.dominance === undefined) return;
  if (disclosure.noise !== undefined) refuse('noise hides each contributor: no dominance terms');
  if (measuredColumns(plan.measures).length === 0) {
    refuse('dominance terms are for sums, and the plan has none');
  }
}

/** Every rounded column is a figure of the result, rounded to one base. */
function checkRounding({ disclosure, plan }: Contract): void {
  const rounded = (disclosure.rounding ?? []).map(({ as }) => as);
  refuseRepeated(rounded, 'a column is rounded twice');
  const figures = new Set(figuresOf(plan));
  const column = rounded.find((name) => !figures.has(name));
  if (column !== undefined) refuse('only figures of the result are rounded', { column });
}

function figuresOf(plan: Contract['plan']): readonly string[] {
  if (plan.kind === 'aggregate') return plan.measures.map(({ as }) => as);
  if (plan.kind === 'own-set') return ['shared'];
  if (plan.ask === 'intersection') return [];
  return ['shared', ...(plan.sum === undefined ? [] : [plan.sum.as])];
}

function checkDatasets(contract: Contract): void {
  const holders = new Set(contract.holders.map((holder) => holder.id));
  const withData = contract.datasets.map((dataset) => dataset.holder);
  refuseRepeated(withData, 'a holder has more than one dataset under the plan’s table');
  for (const holder of withData) {
    if (!holders.delete(holder)) refuse('a dataset is of nobody among the holders');
  }
  for (const holder of holders) refuse('a holder has no dataset', { party: holder });
  if (contract.minimumParties > withData.length)
    refuse('the minimum of parties exceeds the holders');
  if (contract.disclosure.smallestContributors > withData.length) {
    refuse('the minimum of contributors to a cell exceeds the holders');
  }
}

function checkTimes(contract: Contract): void {
  const { notBefore, notAfter } = contract.validity;
  if (!(Date.parse(notBefore) < Date.parse(notAfter))) refuse('validity ends before it begins');
  if (!isTimeZone(contract.timeZone)) refuse('the time zone is not an IANA name');
}

/** An IANA name this runtime knows, offsets such as `+08:00` excluded. */
function isTimeZone(name: string): boolean {
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

function checkColumns(contract: Contract, plan: AggregatePlan): void {
  const { dictionaries, bounds } = contract;
  const groups = plan.groups.map((group) => group.column);
  refuseRepeated(groups, 'a group column is repeated');
  refuseRepeated(
    [...groups, ...plan.measures.map((measure) => measure.as)],
    'a result column is repeated',
  );
  refuseDifferent(
    groups,
    dictionaries.map((entry) => entry.column),
    'dictionaries',
  );
  for (const { column, labels } of dictionaries) {
    refuseRepeated(labels, 'a label is repeated', { column });
    if (labels.includes(OTHER_LABEL)) refuse(`the label ${OTHER_LABEL} is reserved`, { column });
  }
  refuseDifferent(
    measuredColumns(plan.measures),
    bounds.map((entry) => entry.column),
    'bounds',
  );
  for (const { column, minimum, maximum } of bounds) {
    if (BigInt(minimum) > BigInt(maximum)) refuse('a minimum exceeds its maximum', { column });
  }
  if (partitionCells(contract) > CELLS_MAX) {
    throw new InputError('too-many-cells', 'The groups make too many cells.', {
      rule: `at most ${CELLS_MAX} cells, each dictionary with its ${OTHER_LABEL}`,
      remedy: 'Group by fewer columns or shorter dictionaries.',
    });
  }
}

function checkSelections(contract: Contract, plan: AggregatePlan): void {
  const { parameters } = contract;
  const unused = new Set(Object.keys(parameters));
  refuseRepeated(
    plan.select.map((selection) => selection.column),
    'a column is selected twice',
  );
  for (const { column, in: source } of plan.select) {
    if (!plan.groups.some((group) => group.column === column)) {
      throw new InputError('query-not-supported', 'Only a group column can be selected.', {
        column,
        rule: 'exact answers select whole cells of the public partition',
        remedy: `Group by ${column} too.`,
      });
    }
    const published = new Set(dictionaryOf(contract, column).labels);
    if ('values' in source) {
      refuseRepeated(source.values, 'a selection repeats a label', { column });
      refuseUnlisted(source.values, published, column);
      continue;
    }
    const { parameter: name } = source;
    const parameter = Object.hasOwn(parameters, name) ? parameters[name] : undefined;
    if (parameter === undefined || parameter.column !== column || !unused.delete(name)) {
      refuse('a selection’s parameter is missing, of another column, or used twice', { column });
    } else {
      refuseRepeated(parameter.labels, 'a parameter repeats a label', { column });
      refuseUnlisted(parameter.labels, published, column);
    }
  }
  if (unused.size > 0) refuse('a parameter is not used by the plan');
}

function refuseUnlisted(
  labels: readonly string[],
  published: ReadonlySet<string>,
  column: string,
): void {
  if (labels.every((label) => published.has(label))) return;
  refuse('a chosen label is not in the column’s dictionary', { column });
}

function refuseRepeated(values: readonly string[], rule: string, facts: ErrorFacts = {}): void {
  if (new Set(values).size !== values.length) refuse(rule, facts);
}

/** Each needed column once, and none besides: what is signed has no idle parts to be misread. */
function refuseDifferent(needed: readonly string[], given: readonly string[], rule: string): void {
  refuseRepeated(given, `${rule}: a column is repeated`);
  const missing = needed.find((column) => !given.includes(column));
  if (missing !== undefined) {
    throw new InputError('column-unknown', `A column of the plan is missing in ${rule}.`, {
      column: missing,
      rule,
      remedy: `Add ${missing} to ${rule}.`,
    });
  }
  const idle = given.find((column) => !needed.includes(column));
  if (idle !== undefined) refuse(`${rule}: a column is not used by the plan`, { column: idle });
}

function refuse(rule: string, facts: ErrorFacts = {}): never {
  throw new InputError('malformed-message', `The contract contradicts itself: ${rule}.`, {
    rule,
    ...facts,
  });
}
