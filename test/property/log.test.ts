/** Logs: a token, a key or a nonce never appears, wherever in the logged object it stands. */
import { Writable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createLog, type Log } from '../../src/system/log.ts';
import { systemRandom } from '../../src/system/random.ts';

function capture(): { readonly log: Log; readonly text: () => string } {
  const lines: string[] = [];
  const destination = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk));
      done();
    },
  });
  return {
    log: createLog({ level: 'debug', name: 'test', destination }),
    text: () => lines.join(''),
  };
}

const secretBytes = systemRandom.bytes(32);
const raw = Buffer.from(secretBytes);
const SECRETS = {
  token: `weir_analyst_${raw.toString('base64url')}`,
  base64url: raw.toString('base64url'),
  base64: raw.toString('base64'),
  hex: raw.toString('hex'),
  jws: `${raw.toString('base64url')}..${Buffer.concat([raw, raw]).toString('base64url')}`,
  pem: `-----BEGIN PRIVATE KEY-----\n${raw.toString('base64')}\n-----END PRIVATE KEY-----`,
};
/** Every spelling in which the bytes could stand in a line. */
const SPELLINGS = [
  raw.toString('base64url'),
  raw.toString('base64').slice(0, 40),
  raw.toString('hex'),
  raw.toString('hex').toUpperCase(),
  [...raw].join(','),
];

function expectClean(text: string): void {
  for (const spelling of SPELLINGS) expect(text).not.toContain(spelling);
}

describe('a log line', () => {
  it('says what happened', () => {
    const { log, text } = capture();
    log.info({ runId: '0190c9a0-0000-7000-8000-000000000001', status: 202 }, 'run started');
    const line = JSON.parse(text()) as Record<string, unknown>;
    expect(line).toMatchObject({
      level: 'info',
      name: 'test',
      runId: '0190c9a0-0000-7000-8000-000000000001',
      status: 202,
      msg: 'run started',
    });
  });

  it('keeps what is public: hashes, fingerprints, ids', () => {
    const { log, text } = capture();
    const facts = {
      contractHash: 'ab'.repeat(32),
      hash: 'cd'.repeat(32),
      fingerprint: '1234-5678-9abc-def0-1234-5678-9abc-def0',
      rows: 3n,
    };
    log.info(facts, 'done');
    expect(text()).toContain(facts.contractHash);
    expect(text()).toContain(facts.hash);
    expect(text()).toContain(facts.fingerprint);
  });

  it('never holds a secret, under any name, at any depth, in any shape', () => {
    const leaf = fc.constantFrom<unknown>(
      ...Object.values(SECRETS),
      `Bearer ${SECRETS.token}`,
      `a sentence with ${SECRETS.base64url} in it`,
      secretBytes,
      [...secretBytes],
      raw,
      secretBytes.buffer,
      new DataView(secretBytes.buffer),
      new Error(`failed with ${SECRETS.token}`),
      Object.assign(new Error('failed'), { context: SECRETS.hex, body: SECRETS.jws }),
      new Error('outer', { cause: new Error(`inner ${SECRETS.base64url}`) }),
      { headers: { authorization: SECRETS.token } },
      JSON.stringify({ nested: { nonce: SECRETS.base64url } }),
    );
    const name = fc.oneof(
      fc.constantFrom('token', 'nonce', 'err', 'req', 'note', 'secretKey', 'toJSON', 'msg'),
      fc.string({ maxLength: 12 }),
    );
    const { tree } = fc.letrec<{ tree: unknown; node: unknown }>((tie) => ({
      tree: fc.oneof({ maxDepth: 9 }, leaf, tie('node'), tie('node')),
      node: fc.oneof(
        fc.dictionary(name, tie('tree'), { maxKeys: 4 }),
        fc.array(tie('tree'), { maxLength: 4 }),
      ),
    }));
    fc.assert(
      fc.property(tree, name, (value, key) => {
        const { log, text } = capture();
        log.info({ [key]: value }, 'object');
        log.error({ err: value }, `message ${SECRETS.token}`);
        log.child({ [key]: value }).warn({}, 'child');
        log.info(`%o ${SECRETS.hex}`);
        expect(text()).toContain('child');
        expectClean(text());
      }),
      { numRuns: 300 },
    );
  });

  it('keeps a stack, which is what a bug is found by', () => {
    const { log, text } = capture();
    log.error({ err: new TypeError('broken', { cause: new Error('deeper') }) }, 'failed');
    expect(text()).toContain('log.test.ts');
    expect(text()).toContain('deeper');
  });

  it('is bounded, whatever is logged', () => {
    const { log, text } = capture();
    const circular: Record<string, unknown> = { name: 'loop' };
    circular['self'] = circular;
    const many = Array.from({ length: 100_000 }, () => 1000);
    log.info({ circular, long: 'x '.repeat(100_000), many }, 'big');
    expect(text().length).toBeLessThan(20_000);
    expect(text()).toContain('loop');
  });
});
