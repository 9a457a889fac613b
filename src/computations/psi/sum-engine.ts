/** The steps with ciphertexts on the pool's threads. */
import type { MaskedSum } from '../../../protocols/psi/sum.ts';
import type { SumEngine } from '../../../protocols/psi/sum-exchange.ts';
import type { Pool } from '../../pool/pool.ts';
import type {
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
    fold(secretKey, ciphertext) {
      const argument: FoldMaskedArgument = { secretKey, ciphertext };
      return pool.run<bigint>('psi-sum', 'foldMaskedTask', argument, options);
    },
  };
}
