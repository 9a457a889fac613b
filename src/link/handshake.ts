/**
 * Mutual authentication of a link: each side signs both nonces, both ids, both keys and the TLS
 * session, under a role of its own, so that no signature can be reflected, replayed or moved to
 * another session. Pure: frames in, frames out.
 *
 * 1. domain → gateway `hello`: id, key, nonce
 * 2. gateway → domain `challenge`: id, key, nonce, signature as `gateway`
 * 3. domain → gateway `proof`: signature as `domain`
 * 4. gateway → domain `welcome`
 */
import { Buffer } from 'node:buffer';
import { timingSafeEqual } from 'node:crypto';
import { TLSSocket } from 'node:tls';
import type { Duplex } from 'node:stream';
import { GATEWAY, type PartyId } from '../system/ids.ts';
import type { Random } from '../system/random.ts';
import type { KeyPair, SignatureSuite } from '../system/signature-suite.ts';
import { LinkViolation } from './close-reason.ts';
import type { Challenge, Hello, Proof } from './frames.ts';

const CONTEXT = 'weir/link/v1';
const NONCE_BYTES = 32;
const NO_BINDING = new Uint8Array(0);

/** Who this end is, and what it signs with. */
export interface LinkIdentity {
  readonly party: PartyId;
  readonly keys: KeyPair;
  readonly suite: SignatureSuite;
}

/**
 * What ties the handshake to its TLS session, or undefined on a plain socket: with it in the
 * transcript nobody who ends TLS between the two can pass the handshake through.
 * @see RFC 9266
 */
export function tlsBindingOf(socket: Duplex): Uint8Array | undefined {
  if (!(socket instanceof TLSSocket)) return undefined;
  return socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0));
}

/** Message 1. @param bound - whether the domain's socket is TLS that reaches the gateway itself. */
export function createHello(identity: LinkIdentity, bound: boolean, random: Random): Hello {
  return {
    t: 'hello',
    version: 1,
    party: identity.party,
    key: identity.keys.publicKey,
    nonce: random.bytes(NONCE_BYTES),
    binding: bound ? 'tls-exporter' : 'none',
  };
}

/**
 * Message 2. A gateway that holds the TLS session itself insists on its binding, so that stripping
 * it is no way round.
 * @throws LinkViolation `handshake-refused`
 */
export function answerHello(
  hello: Hello,
  identity: LinkIdentity,
  binding: Uint8Array | undefined,
  random: Random,
): Challenge {
  const expected = binding === undefined ? 'none' : 'tls-exporter';
  if (hello.binding !== expected || hello.party === GATEWAY) {
    throw new LinkViolation('handshake-refused');
  }
  const unsigned = {
    t: 'challenge' as const,
    version: 1 as const,
    party: identity.party,
    key: identity.keys.publicKey,
    nonce: random.bytes(NONCE_BYTES),
  };
  const message = transcript('gateway', hello, unsigned, binding);
  return { ...unsigned, signature: identity.suite.sign(CONTEXT, message, identity.keys) };
}

/**
 * Message 3: the domain checks the gateway first, so that it proves itself to no impostor.
 * @throws LinkViolation `gateway-not-pinned` where key, id or signature are not the pinned gateway's.
 */
export function answerChallenge(
  hello: Hello,
  challenge: Challenge,
  identity: LinkIdentity,
  gatewayKey: Uint8Array,
  binding: Uint8Array | undefined,
): Proof {
  const message = transcript('gateway', hello, challenge, binding);
  const pinned = challenge.party === GATEWAY && isSame(challenge.key, gatewayKey);
  if (!pinned || !identity.suite.isValid(CONTEXT, message, challenge.signature, gatewayKey)) {
    throw new LinkViolation('gateway-not-pinned');
  }
  const own = transcript('domain', hello, challenge, binding);
  return { t: 'proof', signature: identity.suite.sign(CONTEXT, own, identity.keys) };
}

/**
 * The gateway's last check. An unknown party, a wrong key and a wrong signature look alike.
 * @throws LinkViolation `handshake-refused`
 */
export function verifyProof(
  hello: Hello,
  challenge: Challenge,
  proof: Proof,
  enrolledKey: Uint8Array | undefined,
  suite: SignatureSuite,
  binding: Uint8Array | undefined,
): void {
  const message = transcript('domain', hello, challenge, binding);
  const known = enrolledKey !== undefined && isSame(hello.key, enrolledKey);
  if (!suite.isValid(CONTEXT, message, proof.signature, hello.key) || !known) {
    throw new LinkViolation('handshake-refused');
  }
}

function isSame(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && timingSafeEqual(left, right);
}

/** Each part behind its length: no two transcripts can read alike. */
function transcript(
  signer: 'gateway' | 'domain',
  hello: Hello,
  challenge: Omit<Challenge, 'signature'>,
  binding: Uint8Array | undefined,
): Uint8Array {
  const text = new TextEncoder();
  const parts = [
    text.encode(`weir-link/${hello.version}/${challenge.version}`),
    text.encode(signer),
    text.encode(hello.party),
    text.encode(challenge.party),
    hello.key,
    challenge.key,
    hello.nonce,
    challenge.nonce,
    text.encode(hello.binding),
    binding ?? NO_BINDING,
  ];
  const framed = parts.flatMap((part) => {
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, part.length);
    return [length, part];
  });
  return new Uint8Array(Buffer.concat(framed));
}
