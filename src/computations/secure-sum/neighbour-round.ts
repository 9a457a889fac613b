/** Round 0, beyond 64 parties: all commit to a nonce, then show it, and the neighbours follow. */
import { createHash } from 'node:crypto';
import { GATEWAY } from '../../system/ids.ts';
import { equalBytes } from '../../../protocols/common/bytes.ts';
import { ProtocolError } from '../../../protocols/common/protocol-error.ts';
import { encodeList, parseList } from '../../../protocols/secure-sum/messages.ts';
import { commitTo, graphSeed } from '../../../protocols/secure-sum/neighbours.ts';
import { COMPLETE_GRAPH_MAX, NONCE_BYTES } from '../../../protocols/secure-sum/params.ts';
import type { DomainRole } from '../computation.ts';
import { KINDS } from './wire.ts';

const HASH = {
  sha256: (message: Uint8Array): Uint8Array =>
    new Uint8Array(createHash('sha256').update(message).digest()),
};

/**
 * What the neighbours are drawn from; undefined where every pair shares a mask.
 * @throws ProtocolError `transcript-mismatch` where this party's own part was changed on the way or
 *   another one shows what it did not commit to.
 */
export async function agreeOnOrder(
  role: DomainRole,
  selfIndex: number,
): Promise<Uint8Array | undefined> {
  const { channel, descriptor, descriptorHash } = role;
  const parties = descriptor.parties.length;
  if (parties <= COMPLETE_GRAPH_MAX) return undefined;
  const nonce = role.random.bytes(NONCE_BYTES);
  const own = commitTo(HASH, descriptorHash, selfIndex, nonce);
  await channel.send(GATEWAY, KINDS.commitment, encodeList([own]));
  const commitments = parseList(await channel.receive(GATEWAY, KINDS.commitments), parties);
  // Without its own nonce in the list, the order would be the others' choice.
  if (!equalBytes(commitments[selfIndex] ?? new Uint8Array(), own)) {
    throw new ProtocolError('transcript-mismatch', "this party's commitment was replaced");
  }
  await channel.send(GATEWAY, KINDS.nonce, encodeList([nonce]));
  const nonces = parseList(await channel.receive(GATEWAY, KINDS.nonces), parties);
  return graphSeed(HASH, descriptorHash, commitments, nonces);
}
