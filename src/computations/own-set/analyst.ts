/** The analyst's part, on its own machine: what the gateway hands over is hostile until verified. */
import { z } from 'zod';
import type { Contract } from '../../contracts/contract.ts';
import { describeRun } from '../../contracts/describe-run.ts';
import {
  type Descriptor,
  DescriptorSchema,
  DescriptorSignatureSchema,
} from '../../contracts/descriptor.ts';
import { isStrongEncryptionKey } from '../../contracts/key-strength.ts';
import type { RunRequest } from '../../contracts/request.ts';
import { verifyDescriptor } from '../../contracts/signed-documents.ts';
import { AbortError, StateError } from '../../errors.ts';
import type { RunChannel } from '../../link/channel.ts';
import { openSealedChannel } from '../../link/sealed-channel.ts';
import { decodeBase64url } from '../../system/base64url.ts';
import { canonicalHash } from '../../system/canonical-json.ts';
import type { RunId } from '../../system/ids.ts';
import type { Random } from '../../system/random.ts';
import { type PsiMachine, prepareSet } from '../../../protocols/psi/blinded-set.ts';
import type { DateFormat } from '../../../protocols/psi/join-key.ts';
import type { KeyTally } from '../../../protocols/psi/key-batch.ts';
import { runAnalyst } from '../../../protocols/psi/own-set.ts';
import { type DigestKeys, keyDigests } from '../psi/key-digests.ts';
import { keyForm } from '../psi/shape.ts';
import { asPsiAbort } from '../psi/wire.ts';
import { estimateOwnSet } from './estimate.ts';
import { ownSetParams, ownSetShapeOf } from './shape.ts';

const InvitationSchema = z.strictObject({
  descriptor: DescriptorSchema,
  signatures: z.array(DescriptorSignatureSchema).length(1),
});

/** The run an analyst agreed to take part in. */
export interface Invitation {
  readonly descriptor: Descriptor;
  readonly descriptorHash: Uint8Array;
}

/**
 * The descriptor of this very request and run, field by field what the contract says, signed by
 * the holder's key in the contract.
 * @throws StateError `descriptor-mismatch`; IdentityError `signature-invalid`
 */
export function verifyInvitation(
  bytes: Uint8Array,
  contract: Contract,
  request: RunRequest,
  runId: RunId,
): Invitation {
  const { descriptor, signatures } = parseInvitation(bytes);
  const { parties, attempt } = descriptor;
  const [party] = parties;
  const shape = estimateOwnSet(contract, request.arguments);
  const expected = describeRun({ contract, request, runId, attempt, parties, shape });
  const isOwn =
    canonicalHash(descriptor) === canonicalHash(expected) &&
    parties.length === 1 &&
    party?.id === contract.holders[0]?.id &&
    party !== undefined &&
    isStrongEncryptionKey(party.ephemeralKey);
  if (!isOwn) throw mismatch('every field follows from contract and request');
  const hash = verifyDescriptor(descriptor, signatures, contract);
  return { descriptor, descriptorHash: new Uint8Array(Buffer.from(hash, 'hex')) };
}

/** What the analyst's side works with. */
export interface AnalystMachine extends PsiMachine {
  readonly digest: DigestKeys;
}

export interface AnalystRole {
  readonly contract: Contract;
  readonly invitation: Invitation;
  /** Secret half of the request's `analystKey`. */
  readonly ephemeralSecret: Uint8Array;
  readonly channel: RunChannel;
  readonly machine: AnalystMachine;
  /** The ids as texts, some at a time. */
  readonly ids: AsyncIterable<readonly (string | null)[]>;
  /** How the ids write dates, where the key is one. */
  readonly dateFormat?: DateFormat;
  /** Told once all ids were read: how many, and how many of them had no key. */
  readonly onRead?: (tally: KeyTally) => void;
  readonly random: Random;
}

/**
 * Matches the set. The number comes with the run's result, not from here.
 * @throws AbortError `transcript-mismatch`, `decryption-failed`; how the run ended
 */
export function runOwnSetAnalyst(role: AnalystRole): Promise<void> {
  return asPsiAbort(async () => {
    const { contract, invitation, machine } = role;
    const { descriptor, descriptorHash } = invitation;
    const shape = ownSetShapeOf(contract, descriptor.arguments);
    const params = ownSetParams(shape, descriptorHash, 'analyst');
    const [party] = descriptor.parties;
    if (party === undefined) throw mismatch('parties');
    const sealed = openSealedChannel({
      channel: role.channel,
      peer: shape.holder,
      ephemeralSecret: role.ephemeralSecret,
      peerEphemeralKey: decodeBase64url(party.ephemeralKey, 32),
      descriptorHash,
      random: role.random,
    });
    const tally: KeyTally = { rows: 0, keys: 0, nulls: 0, malformed: 0 };
    async function* rows(): AsyncGenerator<readonly (readonly (string | null)[])[]> {
      for await (const ids of role.ids) yield ids.map((id) => [id]);
    }
    const digests = keyDigests(rows(), {
      forms: [keyForm(shape.plan.key.type, role.dateFormat)],
      context: descriptorHash,
      tally,
      digest: machine.digest,
    });
    const set = await prepareSet(params, machine, digests);
    role.onRead?.(tally);
    try {
      await runAnalyst(sealed, params, machine, set, shape.sizes);
    } finally {
      await set.close();
    }
  });
}

function parseInvitation(bytes: Uint8Array): z.infer<typeof InvitationSchema> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    value = undefined;
  }
  const parsed = InvitationSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new AbortError('transcript-mismatch', 'The run’s descriptor is malformed.');
}

function mismatch(rule: string): StateError {
  return new StateError('descriptor-mismatch', 'The run is not the one that was asked for.', {
    rule,
    remedy: 'Run again; if it happens again, do not trust this gateway.',
  });
}
