/** Whether people may have consented to what a contract is for, from published facts alone. */
import { PolicyError, type WeirError } from '../errors.ts';
import type { PublishedDataset } from './published.ts';

/** A dataset with consent per purpose needs a contract that states one of its purposes. */
export function consentRefusals(
  purposeCode: string | undefined,
  dataset: PublishedDataset,
): WeirError[] {
  const { consent } = dataset;
  if (consent?.purposes === undefined) return [];
  if (purposeCode !== undefined && Object.hasOwn(consent.purposes, purposeCode)) return [];
  const codes = Object.keys(consent.purposes);
  return [
    new PolicyError('column-usage-forbids', 'Nobody has consented to this purpose.', {
      column: consent.column,
      party: dataset.holder,
      rule: 'consent per purpose',
      remedy: `purposeCode ${codes.join(' or ')}, if that is what the contract is for.`,
    }),
  ];
}
