/**
 * Tasks of the sum over the join for other threads. A thread keeps one instance of the library for
 * what needs no secret key; a secret key gets an instance of its own that ends with its task.
 */
// oxlint-disable-next-line no-restricted-imports -- the move marker is how an answer avoids a copy
import { move } from 'piscina';
import { releaseBytes } from '../protocols/common/bytes.ts';
import { ProtocolError } from '../protocols/common/protocol-error.ts';
import { addByCell } from '../protocols/psi/group-sum.ts';
import {
  SUM_PARAMETERS,
  chooseValues,
  encryptValues,
  foldMasked,
  maskSum,
} from '../protocols/psi/sum.ts';
import { nativePrimitives } from './native-primitives.ts';
import { answered, movedAll, PublicSide, withDecryptors, withOwnInstance } from './seal-threads.ts';

export interface EncryptValuesArgument {
  readonly publicKey: Uint8Array;
  readonly slots: BigUint64Array<ArrayBuffer>;
}
export interface ChooseValuesArgument {
  readonly ciphertext: Uint8Array;
  readonly chosen: BigUint64Array<ArrayBuffer>;
}
export interface MaskSumArgument {
  readonly publicKey: Uint8Array;
  readonly choices: Uint8Array | undefined;
  readonly secret: Uint8Array;
}
export interface FoldMaskedArgument {
  readonly secretKey: Uint8Array;
  readonly ciphertexts: readonly Uint8Array[];
}
export interface AddByCellArgument {
  readonly ciphertext: Uint8Array;
  readonly cellOfSlot: Uint8Array;
  readonly first: number;
  readonly sums: Uint8Array<ArrayBuffer>;
}

const thread = new PublicSide();

/** A fresh key pair of the sender, for one run. */
export function sumKeysTask(): Promise<unknown> {
  return answered(async () => {
    const keys = await withOwnInstance((instance) => {
      const secretKey = instance.generateSecretKey(SUM_PARAMETERS);
      return { publicKey: instance.generatePublicKey(SUM_PARAMETERS, secretKey), secretKey };
    });
    return movedAll(keys, [keys.publicKey, keys.secretKey]);
  });
}

/** @see encryptValues */
export function encryptValuesTask({ publicKey, slots }: EncryptValuesArgument): Promise<unknown> {
  return answered(async () => {
    try {
      const values = await thread.run((tools) =>
        encryptValues(tools.encryptor(SUM_PARAMETERS, publicKey), slots),
      );
      return move(values);
    } finally {
      slots.fill(0n);
    }
  });
}

/** @see chooseValues */
export function chooseValuesTask({ ciphertext, chosen }: ChooseValuesArgument): Promise<unknown> {
  return answered(async () => {
    // A copy of its own: the residues are read as words, so they must start on one.
    const aligned = new Uint8Array(ciphertext);
    try {
      const choice = await thread.run((tools) =>
        chooseValues(tools.evaluator(SUM_PARAMETERS), aligned, chosen),
      );
      return move(choice);
    } finally {
      releaseBytes(aligned);
      chosen.fill(0n);
    }
  });
}

/** @see addByCell */
export function addByCellTask(argument: AddByCellArgument): Promise<unknown> {
  return answered(async () => {
    const { cellOfSlot, first, sums } = argument;
    const aligned = new Uint8Array(argument.ciphertext);
    try {
      // A product at a time: one that is tried again must not be added twice.
      const choose = (chosen: BigUint64Array<ArrayBuffer>): Promise<Uint8Array> =>
        thread.run((tools) => chooseValues(tools.evaluator(SUM_PARAMETERS), aligned, chosen));
      await addByCell(choose, cellOfSlot, first, sums);
      return move(sums);
    } finally {
      releaseBytes(aligned);
      cellOfSlot.fill(0);
    }
  });
}

/** @see maskSum */
export function maskSumTask({ publicKey, choices, secret }: MaskSumArgument): Promise<unknown> {
  return answered(async () => {
    try {
      return await thread.run((tools) => {
        const evaluator = tools.evaluator(SUM_PARAMETERS);
        const encryptor = tools.encryptor(SUM_PARAMETERS, publicKey);
        return maskSum(nativePrimitives.stream, evaluator, encryptor, choices, secret);
      });
    } finally {
      secret.fill(0);
    }
  });
}

/** @see foldMasked */
export function foldMaskedTask({ secretKey, ciphertexts }: FoldMaskedArgument): Promise<unknown> {
  return answered(() =>
    withDecryptors(secretKey, [SUM_PARAMETERS], ([decryptor]) => {
      if (decryptor === undefined) throw new ProtocolError('length-wrong', 'no decryptor');
      return ciphertexts.map((one) => foldMasked(decryptor, new Uint8Array(one)));
    }),
  );
}
