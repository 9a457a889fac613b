/**
 * Messages between two domains that the gateway relays and cannot read, change, replay, reorder,
 * cut or move to another run: it sees kinds, sizes and times.
 *
 * Keys: X25519 of the ephemeral keys in the run descriptor, which every party signed, so they are
 * as authentic as the identity keys behind those signatures. HKDF-SHA256 with the descriptor's
 * hash as salt, and this file's label, both parties in order and 32 fresh bytes of the sender as
 * info, gives one key a direction. The sender's fresh bytes lead its first message: should the
 * same descriptor ever be opened twice, the keys differ all the same, so no key meets a nonce
 * twice. A lost link ends the run; nothing resumes on another connection.
 *
 * Each message is AES-256-GCM under a counter nonce; descriptor hash, sender, receiver, kind,
 * counter and last flag are associated data.
 * @see RFC 7748 §6.1, RFC 5869, NIST SP 800-38D
 */
import { Buffer } from 'node:buffer';
import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
} from 'node:crypto';
import { releaseBytes } from '../../protocols/common/bytes.ts';
import { AbortError, InputError, StateError, WeirError, assertInvariant } from '../errors.ts';
import type { PartyId } from '../system/ids.ts';
import type { Random } from '../system/random.ts';
import type { RunChannel, SealedChannel, SealedMessageOptions } from './channel.ts';
import { MESSAGE_BYTES_MAX } from './limits.ts';

const LABEL = 'weir/sealed-channel/v1';
const CIPHER = 'aes-256-gcm';
const KEY_BYTES = 32;
const SALT_BYTES = 32;
const TAG_BYTES = 16;
const NONCE_BYTES = 12;
/** Messages under one key. */
const SEALED_MESSAGES_MAX = 2 ** 32 - 1;
/** The longest message that can be sealed. */
export const SEALED_BYTES_MAX = MESSAGE_BYTES_MAX - SALT_BYTES - TAG_BYTES;

const PKCS8_PREFIX = Buffer.from('302e020100300506032b656e04220420', 'hex');
const SPKI_PREFIX = Buffer.from('302a300506032b656e032100', 'hex');

export interface SealedChannelParts {
  readonly channel: RunChannel;
  readonly peer: PartyId;
  /** This party's X25519 secret of this run and attempt. Secret; used for no other attempt. */
  readonly ephemeralSecret: Uint8Array;
  /** The peer's X25519 key out of the descriptor whose signatures were all verified. */
  readonly peerEphemeralKey: Uint8Array;
  /** SHA-256 of that descriptor, 32 bytes: it names run, attempt, parties and their keys. */
  readonly descriptorHash: Uint8Array;
  readonly random: Random;
}

/**
 * Opens the sealed messages between `channel.self` and `peer`, once per run, attempt and peer.
 * @throws AbortError `decryption-failed` where the peer's key is malformed or of low order.
 */
export function openSealedChannel(parts: SealedChannelParts): SealedChannel {
  return new SealedEnd(parts);
}

class SealedEnd implements SealedChannel {
  readonly peer: PartyId;
  readonly #channel: RunChannel;
  readonly #secret: Uint8Array;
  readonly #descriptorHash: Uint8Array;
  readonly #out: Sealer;
  #in: Opener | undefined;
  #failure: WeirError | undefined;

  constructor(parts: SealedChannelParts) {
    const { channel, peer, descriptorHash, random } = parts;
    assertInvariant(peer !== channel.self, 'a sealed channel has two parties');
    assertInvariant(descriptorHash.length === 32, 'the descriptor hash has 32 bytes');
    this.peer = peer;
    this.#channel = channel;
    this.#descriptorHash = descriptorHash;
    this.#secret = sharedSecret(parts);
    const route = { from: channel.self, to: peer, descriptorHash };
    this.#out = new Sealer(route, this.#secret, random.bytes(SALT_BYTES));
  }

  async send(kind: string, payload: Uint8Array, options?: SealedMessageOptions): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (payload.length > SEALED_BYTES_MAX) {
      throw new InputError('frame-too-large', 'A sealed message exceeds the limit.');
    }
    const sealed = this.#out.seal(kind, payload, options?.last === true);
    await this.#guarded(() => this.#channel.send(this.peer, kind, sealed));
  }

  async receive(kind: string, options?: SealedMessageOptions): Promise<Uint8Array> {
    if (this.#failure !== undefined) throw this.#failure;
    return this.#guarded(async () => {
      const sealed = await this.#channel.receive(this.peer, kind);
      if (this.#failure !== undefined) throw this.#failure;
      const payload = this.#open(kind, sealed, options?.last === true);
      // As long as the message, by the gigabyte: not left to the collector.
      releaseBytes(sealed);
      return payload;
    });
  }

  #open(kind: string, sealed: Uint8Array, last: boolean): Uint8Array {
    if (this.#in !== undefined) return this.#in.open(kind, sealed, last);
    if (sealed.length < SALT_BYTES + TAG_BYTES) throw failedToOpen(this.peer);
    const route = {
      from: this.peer,
      to: this.#channel.self,
      descriptorHash: this.#descriptorHash,
    };
    this.#in = new Opener(route, this.#secret, sealed.subarray(0, SALT_BYTES));
    return this.#in.open(kind, sealed.subarray(SALT_BYTES), last);
  }

  /** A message that was not sent or could not be opened leaves a gap: nothing after it is valid. */
  async #guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof WeirError) this.#failure ??= error;
      throw error;
    }
  }
}

interface Route {
  readonly from: PartyId;
  readonly to: PartyId;
  readonly descriptorHash: Uint8Array;
}

/** The counter and key that both directions share in shape, not in value. */
class Direction {
  readonly key: Uint8Array;
  readonly #route: Route;
  #count = 0;
  #isOver = false;

  constructor(route: Route, secret: Uint8Array, salt: Uint8Array) {
    this.#route = route;
    const info = framed([LABEL, route.from, route.to, salt]);
    this.key = new Uint8Array(hkdfSync('sha256', secret, route.descriptorHash, info, KEY_BYTES));
  }

  /** Nonce and associated data of the next message. @throws StateError after the last one. */
  next(kind: string, last: boolean): { readonly nonce: Uint8Array; readonly bound: Uint8Array } {
    if (this.#isOver) throw new StateError('round-mismatch', 'The last message was sent already.');
    assertInvariant(this.#count < SEALED_MESSAGES_MAX, 'a key seals a bounded number of messages');
    const { from, to, descriptorHash } = this.#route;
    const nonce = new Uint8Array(NONCE_BYTES);
    new DataView(nonce.buffer).setBigUint64(4, BigInt(this.#count));
    const flag = Uint8Array.of(last ? 1 : 0);
    const bound = framed([LABEL, descriptorHash, from, to, kind, nonce, flag]);
    this.#count += 1;
    this.#isOver = last;
    return { nonce, bound };
  }
}

class Sealer {
  readonly #direction: Direction;
  #lead: Uint8Array;

  constructor(route: Route, secret: Uint8Array, salt: Uint8Array) {
    this.#direction = new Direction(route, secret, salt);
    this.#lead = salt;
  }

  seal(kind: string, payload: Uint8Array, last: boolean): Uint8Array {
    const { nonce, bound } = this.#direction.next(kind, last);
    const cipher = createCipheriv(CIPHER, this.#direction.key, nonce, {
      authTagLength: TAG_BYTES,
    });
    cipher.setAAD(bound);
    const body = cipher.update(payload);
    const sealed = Buffer.concat([this.#lead, body, cipher.final(), cipher.getAuthTag()]);
    // As `sealed` in `receive`.
    releaseBytes(body);
    this.#lead = new Uint8Array(0);
    return sealed;
  }
}

class Opener {
  readonly #direction: Direction;
  readonly #from: PartyId;

  constructor(route: Route, secret: Uint8Array, salt: Uint8Array) {
    this.#direction = new Direction(route, secret, salt);
    this.#from = route.from;
  }

  /** @throws AbortError `decryption-failed`: one code and one message, whatever was wrong. */
  open(kind: string, sealed: Uint8Array, last: boolean): Uint8Array {
    if (sealed.length < TAG_BYTES) throw failedToOpen(this.#from);
    const { nonce, bound } = this.#direction.next(kind, last);
    const body = sealed.subarray(0, sealed.length - TAG_BYTES);
    const decipher = createDecipheriv(CIPHER, this.#direction.key, nonce, {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(bound);
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
    try {
      const plain = decipher.update(body);
      decipher.final();
      return new Uint8Array(plain.buffer, plain.byteOffset, plain.length);
    } catch {
      throw failedToOpen(this.#from);
    }
  }
}

function failedToOpen(party: PartyId): AbortError {
  return new AbortError('decryption-failed', `A sealed message of ${party} is not valid.`, {
    party,
  });
}

function sharedSecret(parts: SealedChannelParts): Uint8Array {
  try {
    const privateKey = createPrivateKey({
      key: Buffer.concat([PKCS8_PREFIX, parts.ephemeralSecret]),
      format: 'der',
      type: 'pkcs8',
    });
    const publicKey = createPublicKey({
      key: Buffer.concat([SPKI_PREFIX, parts.peerEphemeralKey]),
      format: 'der',
      type: 'spki',
    });
    const secret = diffieHellman({ privateKey, publicKey });
    // A low-order key would give everyone the same secret.
    if (secret.every((byte) => byte === 0)) throw failedToOpen(parts.peer);
    return secret;
  } catch {
    throw failedToOpen(parts.peer);
  }
}

/** Each part behind its length: no two lists can read alike. */
function framed(parts: readonly (string | Uint8Array)[]): Uint8Array {
  const pieces = parts.flatMap((part) => {
    const content = typeof part === 'string' ? Buffer.from(part, 'utf8') : part;
    const length = Buffer.alloc(4);
    length.writeUInt32BE(content.length);
    return [length, content];
  });
  return Buffer.concat(pieces);
}
