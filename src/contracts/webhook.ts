/**
 * Webhook signatures as Standard Webhooks 1.0.0 has them: HMAC-SHA256 over id, time and body, so that
 * a receiver knows who sent it, that nothing was changed, and that it is not an old message again.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { IdentityError, InputError } from '../errors.ts';
import type { Random } from '../system/random.ts';

const SECRET_PREFIX = 'whsec_';
const SECRET_BYTES = 32;
const SECRET_BYTES_MIN = 24;
const SECRET_BYTES_MAX = 64;
/** How far the sender's clock may be from the receiver's. */
const TOLERANCE_S = 300;
/** Signatures of one message: more than one while a secret is replaced. */
const SIGNATURES_MAX = 8;

export interface WebhookHeaders {
  /** The same for every delivery of one message. */
  readonly 'webhook-id': string;
  /** Seconds since the epoch, of this delivery. */
  readonly 'webhook-timestamp': string;
  readonly 'webhook-signature': string;
}

/** A fresh secret, `whsec_…`; shown once, to whoever sets up the receiver. */
export function newWebhookSecret(random: Random): string {
  return `${SECRET_PREFIX}${Buffer.from(random.bytes(SECRET_BYTES)).toString('base64')}`;
}

/**
 * The headers of one delivery.
 * @throws InputError `parameter-invalid` where the secret is none.
 */
export function signWebhook(
  secret: string,
  id: string,
  nowMs: number,
  body: string,
): WebhookHeaders {
  const timestamp = String(Math.floor(nowMs / 1000));
  const signature = `v1,${mac(secret, id, timestamp, body).toString('base64')}`;
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature };
}

/**
 * For receivers: takes the body as it arrived, before it is parsed. Drop what has the id of a message
 * that came before.
 * @throws IdentityError `signature-invalid` for a wrong signature or a time too far off;
 *   `signature-missing`.
 */
export function verifyWebhook(
  secret: string,
  headers: Readonly<Partial<Record<keyof WebhookHeaders, string>>>,
  nowMs: number,
  body: string,
): void {
  const id = headers['webhook-id'];
  const timestamp = headers['webhook-timestamp'];
  const signatures = headers['webhook-signature'];
  if (id === undefined || timestamp === undefined || signatures === undefined) {
    throw new IdentityError('signature-missing', 'The message is not signed.');
  }
  const expected = mac(secret, id, timestamp, body);
  const matches = signatures
    .split(' ', SIGNATURES_MAX)
    .filter((each) => each.startsWith('v1,'))
    .map((each) => Buffer.from(each.slice(3), 'base64'))
    .some((each) => each.length === expected.length && timingSafeEqual(each, expected));
  const ageS = Math.abs(nowMs / 1000 - Number(timestamp));
  if (!matches || !/^\d{1,12}$/.test(timestamp) || ageS > TOLERANCE_S) {
    throw new IdentityError('signature-invalid', 'The message’s signature is not valid.');
  }
}

function mac(secret: string, id: string, timestamp: string, body: string): Buffer {
  return createHmac('sha256', secretBytes(secret)).update(`${id}.${timestamp}.${body}`).digest();
}

function secretBytes(secret: string): Buffer {
  const bytes = Buffer.from(secret.slice(SECRET_PREFIX.length), 'base64');
  const isSecret =
    secret.startsWith(SECRET_PREFIX) &&
    bytes.length >= SECRET_BYTES_MIN &&
    bytes.length <= SECRET_BYTES_MAX;
  if (!isSecret) {
    throw new InputError('parameter-invalid', 'The webhook secret is not one.', {
      remedy: 'It reads whsec_ and then 24 to 64 bytes in base64.',
    });
  }
  return bytes;
}
