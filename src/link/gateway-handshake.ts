/** Drives the handshake on a socket that just dialled in, under limits on time and bytes. */
import type { Buffer } from 'node:buffer';
import type { Duplex } from 'node:stream';
import type { RawData, WebSocket } from 'ws';
import type { Clock } from '../system/clock.ts';
import { GATEWAY, type PartyId } from '../system/ids.ts';
import type { Random } from '../system/random.ts';
import type { KeyPair, SignatureSuite } from '../system/signature-suite.ts';
import { CLOSE_CODES, type CloseReason, LinkViolation, reasonOfError } from './close-reason.ts';
import { closeSignal } from './close-signal.ts';
import { decodeFrame, encodeFrame } from './frame-codec.ts';
import { type Challenge, type Hello, HelloSchema, ProofSchema } from './frames.ts';
import { answerHello, tlsBindingOf, verifyProof } from './handshake.ts';
import type { LinkLimits } from './limits.ts';

export interface GatewayHandshakeParts {
  readonly keys: KeyPair;
  readonly suite: SignatureSuite;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: LinkLimits;
  readonly lookupDomain: (
    party: PartyId,
  ) => Uint8Array | undefined | Promise<Uint8Array | undefined>;
  /** Takes the socket over, synchronously: no frame of the peer can come in between. */
  readonly enter: (party: PartyId) => void;
}

/**
 * Resolves with the reason it was refused, or undefined once `enter` was called. The key is looked
 * up only after the signature frame came, so an unknown party looks like a wrong key.
 */
export function authenticateDomain(
  socket: WebSocket,
  raw: Duplex,
  parts: GatewayHandshakeParts,
): Promise<CloseReason | undefined> {
  const { limits, suite } = parts;
  const outcome = Promise.withResolvers<CloseReason | undefined>();
  const life = new AbortController();
  const binding = tlsBindingOf(raw);
  const identity = { party: GATEWAY, keys: parts.keys, suite };
  let opening: { readonly hello: Hello; readonly challenge: Challenge } | undefined;
  let isChecking = false;
  let sizeBytes = 0;

  const settle = (reason: CloseReason | undefined): void => {
    life.abort();
    socket.off('message', onMessage);
    raw.off('data', onBytes);
    outcome.resolve(reason);
  };
  const refuse = (reason: CloseReason): void => {
    if (life.signal.aborted) return;
    settle(reason);
    socket.close(CLOSE_CODES[reason], reason);
    void parts.clock.sleep(limits.closeMsMax, closeSignal(socket)).then(() => socket.terminate());
  };
  const onBytes = (chunk: Buffer): void => {
    sizeBytes += chunk.length;
    if (sizeBytes <= limits.handshakeBytesMax) return;
    refuse('handshake-too-large');
    socket.terminate();
  };
  const onMessage = (data: RawData, isBinary: boolean): void => {
    void step(data as Buffer, isBinary).catch((error: unknown) => {
      refuse(error instanceof LinkViolation ? error.reason : 'internal');
    });
  };
  const step = async (data: Buffer, isBinary: boolean): Promise<void> => {
    if (!isBinary) throw new LinkViolation('frame-not-binary');
    if (isChecking) throw new LinkViolation('frame-unexpected');
    if (opening === undefined) {
      const hello = decodeFrame(HelloSchema, data);
      const challenge = answerHello(hello, identity, binding, parts.random);
      opening = { hello, challenge };
      socket.send(encodeFrame(challenge));
      return;
    }
    isChecking = true;
    const { hello, challenge } = opening;
    const proof = decodeFrame(ProofSchema, data);
    const key = await parts.lookupDomain(hello.party);
    if (life.signal.aborted) return;
    verifyProof(hello, challenge, proof, key, suite, binding);
    settle(undefined);
    socket.send(encodeFrame({ t: 'welcome' }));
    parts.enter(hello.party);
  };

  socket.on('message', onMessage);
  socket.on('error', (error) => refuse(reasonOfError(error)));
  socket.once('close', () => {
    if (!life.signal.aborted) settle('connection-lost');
  });
  raw.on('data', onBytes);
  void parts.clock.sleep(limits.handshakeMsMax, life.signal).then(() => refuse('handshake-late'));
  return outcome.promise;
}
