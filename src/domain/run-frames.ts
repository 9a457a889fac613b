/** What a domain's computation sends over: marked before the first frame, sealed between domains. */
import type { Descriptor } from '../contracts/descriptor.ts';
import { encodeGuestFrames, GUEST_FRAME, parseGuestFrames } from '../contracts/guest-frames.ts';
import { StateError } from '../errors.ts';
import type { RunChannel, SealedChannel } from '../link/channel.ts';
import { openSealedChannel } from '../link/sealed-channel.ts';
import { decodeBase64url } from '../system/base64url.ts';
import { GATEWAY, type PartyId } from '../system/ids.ts';
import type { Random } from '../system/random.ts';

/** The channel, with no frame leaving before `marked`: the request stands as sent, durably. */
export function markedChannel(channel: RunChannel, marked: Promise<void>): RunChannel {
  // Awaited at the first frame; until then a failure is not an unhandled one.
  marked.catch(() => undefined);
  return {
    self: channel.self,
    signal: channel.signal,
    receive: (from, kind, bytesMax) => channel.receive(from, kind, bytesMax),
    send: async (to, kind, payload) => {
      await marked;
      await channel.send(to, kind, payload);
    },
  };
}

/** How a run's frames reach its analyst: through the gateway's own end, as the gateway's word. */
function guestChannel(channel: RunChannel, guest: PartyId): RunChannel {
  return {
    self: channel.self,
    signal: channel.signal,
    send: (_to, kind, payload) =>
      channel.send(GATEWAY, GUEST_FRAME, encodeGuestFrames([{ kind, payload }])),
    receive: async (_from, kind) => {
      const [frame] = parseGuestFrames(await channel.receive(GATEWAY, GUEST_FRAME));
      if (frame?.kind === kind) return frame.payload;
      throw new StateError('round-mismatch', `${guest} sent another message than ${kind}.`, {
        party: guest,
      });
    },
  };
}

/**
 * The sealed channel to the analyst, opened once; undefined where its request has no key for it.
 * @param analystKey - of the signed request, so that the gateway cannot put its own in its place.
 */
export function sealedGuest(
  parts: SealingParts,
  guest: { readonly party: PartyId; readonly analystKey: string | undefined },
): (() => SealedChannel) | undefined {
  const { party, analystKey } = guest;
  if (analystKey === undefined) return undefined;
  let open: SealedChannel | undefined;
  return () => {
    open ??= openSealedChannel({
      channel: guestChannel(parts.channel, party),
      peer: party,
      ephemeralSecret: parts.ephemeralSecret,
      peerEphemeralKey: decodeBase64url(analystKey, 32),
      descriptorHash: parts.descriptorHash,
      random: parts.random,
    });
    return open;
  };
}

export interface SealingParts {
  readonly channel: RunChannel;
  /** Secret. */
  readonly ephemeralSecret: Uint8Array;
  readonly descriptor: Descriptor;
  readonly descriptorHash: Uint8Array;
  readonly random: Random;
}

/** The sealed channel to each peer, opened once. @throws StateError `descriptor-mismatch` */
export function sealedChannels(parts: SealingParts): (peer: PartyId) => SealedChannel {
  const { channel, ephemeralSecret, descriptor, descriptorHash, random } = parts;
  const open = new Map<PartyId, SealedChannel>();
  return (peer) => {
    const known = open.get(peer);
    if (known !== undefined) return known;
    const party = descriptor.parties.find((candidate) => candidate.id === peer);
    if (party === undefined) {
      throw new StateError('descriptor-mismatch', 'The descriptor names no such party.', {
        party: peer,
      });
    }
    const peerEphemeralKey = decodeBase64url(party.ephemeralKey, 32);
    const fresh = openSealedChannel({
      channel,
      peer,
      ephemeralSecret,
      peerEphemeralKey,
      descriptorHash,
      random,
    });
    open.set(peer, fresh);
    return fresh;
  };
}
