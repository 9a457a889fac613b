/** What comes with a request besides its signed text: held to its length and hash before anything is reserved. */
import { createHash } from 'node:crypto';
import type { Computation } from '../computations/computation.ts';
import type { Contract } from '../contracts/contract.ts';
import type { RunRequest } from '../contracts/request.ts';
import { InputError } from '../errors.ts';

/**
 * Every domain checks the same again; here it saves a reservation that could only be voided.
 * @throws InputError `parameter-invalid`
 */
export function checkAttachment(
  computation: Computation,
  contract: Contract,
  request: RunRequest,
  attachment: Uint8Array | undefined,
): void {
  const sizeBytes = computation.attachmentSizeBytes?.(contract, request.arguments);
  const given = attachment?.length;
  if (given !== sizeBytes) {
    throw refused(
      sizeBytes === undefined
        ? 'Nothing comes with requests of this contract.'
        : `${given ?? 'No'} bytes of weights came where ${sizeBytes} are due.`,
    );
  }
  if (attachment === undefined) return;
  const hash = createHash('sha256').update(attachment).digest('hex');
  if (hash !== request.weightsHash) throw refused('The weights are not those that were signed.');
}

function refused(message: string): InputError {
  return new InputError('parameter-invalid', message, {
    rule: 'weights',
    remedy: 'Send the weights that the request was signed over, as they are.',
  });
}
