import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { newWebhookSecret, signWebhook, verifyWebhook } from '../../src/contracts/webhook.ts';
import { systemRandom } from '../../src/system/random.ts';

/** The example of the Standard Webhooks specification and its reference libraries. */
const EXAMPLE = {
  secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
  id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
  atMs: 1_614_265_330_000,
  body: '{"test": 2432232314}',
  signature: 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
};

const secret = newWebhookSecret(systemRandom);
const NOW = 1_790_000_000_000;
const headers = signWebhook(secret, 'id', NOW, 'body');
const check = (more: Partial<typeof headers>, nowMs = NOW, body = 'body', by = secret) =>
  verifyWebhook(by, { ...headers, ...more }, nowMs, body);

describe('webhook signature', () => {
  it('is that of the published example', () => {
    const { secret: key, id, atMs, body, signature } = EXAMPLE;
    expect(signWebhook(key, id, atMs, body)).toEqual({
      'webhook-id': id,
      'webhook-timestamp': '1614265330',
      'webhook-signature': signature,
    });
  });

  it('verifies what it signed, among other signatures too', () => {
    fc.assert(
      fc.property(fc.string(), fc.uuid(), (body, id) => {
        verifyWebhook(secret, signWebhook(secret, id, NOW, body), NOW, body);
      }),
    );
    check({ 'webhook-signature': `v1a,xyz v1,AAAA ${headers['webhook-signature']}` });
  });

  it('refuses another body, id, time, secret or signature', () => {
    const wrong = /not valid/;
    expect(() => check({}, NOW, 'body ')).toThrow(wrong);
    expect(() => check({ 'webhook-id': 'other' })).toThrow(wrong);
    expect(() => check({ 'webhook-timestamp': '1790000001' })).toThrow(wrong);
    expect(() => check({}, NOW, 'body', newWebhookSecret(systemRandom))).toThrow(wrong);
    expect(() => check({ 'webhook-signature': 'v1,AAAA' })).toThrow(wrong);
    const [version, code = ''] = headers['webhook-signature'].split(',');
    expect(() => check({ 'webhook-signature': `v2,${code}` })).toThrow(wrong);
    expect(() => check({ 'webhook-signature': `${version},${code.slice(0, -4)}` })).toThrow(wrong);
    expect(() => verifyWebhook(secret, {}, NOW, 'body')).toThrow(/not signed/);
  });

  it('refuses a message from more than five minutes away', () => {
    check({}, NOW + 300_000);
    check({}, NOW - 300_000);
    expect(() => check({}, NOW + 301_000)).toThrow(/not valid/);
    expect(() => check({}, NOW - 301_000)).toThrow(/not valid/);
    const unreadable = signWebhook(secret, 'id', Number.NaN, 'body');
    expect(() => verifyWebhook(secret, unreadable, NOW, 'body')).toThrow(/not valid/);
  });

  it('takes no weak secret', () => {
    for (const weak of ['', 'whsec_', 'whsec_AAAA', `secret_${'A'.repeat(44)}`]) {
      expect(() => signWebhook(weak, 'id', NOW, '')).toThrow(/secret is not one/);
    }
  });
});
