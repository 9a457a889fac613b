import { describe, expect, it } from 'vitest';
import type { SignedContract } from '../../src/contracts/contract.ts';
import { VERIFIED_MAX, VerifiedContracts } from '../../src/domain/verified-contracts.ts';
import { makeCast, makeContract, signByAll } from '../fixtures/contract.ts';

describe('contracts verified before', () => {
  const cast = makeCast();
  const signed = signByAll(makeContract(cast), cast);
  const counting = (): {
    readonly seen: VerifiedContracts;
    calls: number;
    ask: (one: SignedContract) => void;
  } => {
    const seen = new VerifiedContracts();
    const counter = {
      seen,
      calls: 0,
      ask: (one: SignedContract) => seen.once(one, () => void (counter.calls += 1)),
    };
    return counter;
  };

  it('are verified once, and again when a byte of contract or signature differs', () => {
    const counter = counting();
    counter.ask(signed);
    counter.ask(structuredClone(signed));
    expect(counter.calls).toBe(1);
    const [first, ...others] = signed.signatures;
    if (first === undefined) throw new Error('no signature');
    counter.ask({ ...signed, signatures: [{ ...first, jws: `${first.jws}A` }, ...others] });
    counter.ask({ ...signed, signatures: others });
    counter.ask({ ...signed, contract: { ...signed.contract, legalBasis: 'another' } });
    expect(counter.calls).toBe(4);
  });

  it('are not remembered where verification failed', () => {
    const seen = new VerifiedContracts();
    const fail = (): void => {
      throw new Error('forged');
    };
    expect(() => seen.once(signed, fail)).toThrow('forged');
    expect(() => seen.once(signed, fail)).toThrow('forged');
  });

  it('are remembered in bounded number', () => {
    const counter = counting();
    for (let index = 0; index <= VERIFIED_MAX; index += 1) {
      counter.ask({ ...signed, contract: { ...signed.contract, legalBasis: `basis ${index}` } });
    }
    counter.ask({ ...signed, contract: { ...signed.contract, legalBasis: 'basis 0' } });
    expect(counter.calls).toBe(VERIFIED_MAX + 2);
  });
});
