/** The steps with ciphertexts on the pool's threads. */
import type { MaskedSum } from '../../../protocols/psi/sum.ts';
import type { SumEngine } from '../../../protocols/psi/sum-exchange.ts';
import type { Pool } from '../../pool/pool.ts';
import type {
  AddByCellArgument,
  ChooseValuesArgument,
  EncryptValuesArgument,
  FoldMaskedArgument,
  MaskSumArgument,
} from '../../../workers/psi-sum.ts';

/** @param threads - how many threads the pool has. */
export function poolSumEngine(pool: Pool, threads: number, signal?: AbortSignal): SumEngine {
  const options = signal === undefined ? {} : { signal };
  return {
    parallel: threads + 1,
    generateKeys: () => pool.run('psi-sum', 'sumKeysTask', undefined, options),
    encrypt(publicKey, slots) {
      const argument: EncryptValuesArgument = { publicKey, slots };
      return pool.run('psi-sum', 'encryptValuesTask', argument, {
        ...options,
        transfer: [slots.buffer],
      });
    },
    choose(ciphertext, chosen) {
      const argument: ChooseValuesArgument = { ciphertext, chosen };
      return pool.run('psi-sum', 'chooseValuesTask', argument, {
        ...options,
        transfer: [chosen.buffer],
      });
    },
    mask(publicKey, choices, secret) {
      const argument: MaskSumArgument = { publicKey, choices, secret };
      return pool.run<MaskedSum>('psi-sum', 'maskSumTask', argument, options);
    },
    fold(secretKey, ciphertexts) {
      const argument: FoldMaskedArgument = { secretKey, ciphertexts };
      return pool.run<readonly bigint[]>('psi-sum', 'foldMaskedTask', argument, options);
    },
    addByCell(ciphertext, cellOfSlot, first, sums) {
      const argument: AddByCellArgument = { ciphertext, cellOfSlot, first, sums };
      // The sums go there and back; the rest is also for the other groups, so it is copied.
      return pool.run('psi-sum', 'addByCellTask', argument, {
        ...options,
        transfer: [sums.buffer],
      });
    },
  };
}
