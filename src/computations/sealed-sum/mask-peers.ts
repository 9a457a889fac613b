/** What a party of a run shares with each other one, for masks mod t. */
import { decodeBase64url } from '../../system/base64url.ts';
import type { MaskPeer } from '../../../protocols/homomorphic/masks.ts';
import type { MaskPeersArgument } from '../../../workers/homomorphic.ts';
import type { DomainRole } from '../computation.ts';

/**
 * Secret: wiped by the caller when the run ends.
 * @param graphSeed - what draws each party's neighbours, beyond 64 parties.
 */
export function maskPeers(
  role: DomainRole,
  graphSeed: Uint8Array | undefined,
): Promise<readonly MaskPeer[]> {
  const { parties } = role.descriptor;
  const argument: MaskPeersArgument = {
    descriptorHash: role.descriptorHash,
    parties: parties.map(({ id, ephemeralKey }) => ({
      id,
      ephemeralKey: decodeBase64url(ephemeralKey, 32),
    })),
    selfIndex: parties.findIndex((party) => party.id === role.self),
    ephemeralSecret: role.ephemeralSecret,
    graphSeed,
  };
  return role.pool.run('homomorphic', 'maskPeersTask', argument, { signal: role.channel.signal });
}
