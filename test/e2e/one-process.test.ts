/** A second process on a directory in use is refused before it touches anything. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { backupDomain, restoreDomain } from '../../src/cli/commands/backup.ts';
import { writeAtomically } from '../../src/system/atomic-file.ts';
import { openAnchor } from '../../src/domain/anchor.ts';
import { domainPaths, openDomainState } from '../../src/domain/domain-state.ts';
import { GatewayConfigSchema } from '../../src/gateway/config.ts';
import { type Gateway, openGateway } from '../../src/gateway/gateway-process.ts';
import { identityKeyFile } from '../../src/gateway/gateway-state.ts';
import { systemClock } from '../../src/system/clock.ts';
import { HashSchema, type PartyId } from '../../src/system/ids.ts';
import { createKeyFile } from '../../src/system/key-file.ts';
import { createLog } from '../../src/system/log.ts';
import { systemRandom } from '../../src/system/random.ts';
import { eddsaSuite } from '../../src/system/signature-suite.ts';
import { HOLDERS, makeCast } from '../fixtures/contract.ts';
import { makeHolderDirectory, openHolder } from './support/holders.ts';

const [party, other, third] = HOLDERS as [PartyId, PartyId, PartyId];
const cast = makeCast();
const holderKeys = new Map(HOLDERS.map((id) => [id, cast.keyOf(id)]));
let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'weir-one-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

it('refuses a second gateway on one directory, and one after it', async () => {
  for (const name of ['keys', 'state']) mkdirSync(join(root, name));
  createKeyFile(identityKeyFile(root), 'ed25519', eddsaSuite.generate(systemRandom));
  const start = (): Promise<Gateway> =>
    openGateway({
      directory: root,
      config: GatewayConfigSchema.parse({
        format: 'weir-gateway/1',
        listen: { host: '127.0.0.1', port: 0 },
      }),
      version: '0',
      computations: [],
      clock: systemClock,
      random: systemRandom,
      log: createLog({ level: 'silent', name: 'test' }),
    });
  const first = await start();
  await expect(start()).rejects.toMatchObject({ code: 'port-taken' });
  await first.close();
  await (await start()).close();
});

it('refuses a second domain on one directory, and leaves the first alone', async () => {
  const setup = {
    party,
    directory: root,
    gatewayUrl: 'http://127.0.0.1:9',
    gatewayKey: eddsaSuite.generate(systemRandom).publicKey,
    rows: [],
    keys: cast.keys,
  };
  makeHolderDirectory(setup);
  const first = await openHolder(setup);
  await expect(openHolder(setup)).rejects.toMatchObject({ code: 'port-taken' });
  await first.domain.close();
  await (await openHolder(setup)).domain.close();
});

it('backs up a domain whose anchor is just being written, condemns nothing, and restores no pin', async () => {
  makeHolderDirectory({
    party,
    directory: root,
    gatewayUrl: '',
    gatewayKey: new Uint8Array(),
    rows: [],
    keys: holderKeys,
  });
  const config = { format: 'weir-domain/1', party, name: { zh: party, en: party } };
  const gateway = { url: 'http://127.0.0.1:9' };
  await writeAtomically(join(root, 'config.json'), JSON.stringify({ ...config, gateway }), 0o600);
  const running = await openDomainState(root, party);
  // As between what a backup reads first and what it reads last, while the domain counts.
  const anchor = await openAnchor(domainPaths(root).anchor);
  await anchor.write({ seq: 7, hash: HashSchema.parse('7'.repeat(64)) });
  const manifest = await backupDomain({ dir: root, backup: join(root, 'backup') });
  expect(manifest.facts).toEqual({ spendSeq: '0' });
  expect(await running.store.query('SELECT rolled_back FROM spend_head')).toEqual([
    { rolled_back: null },
  ]);
  await anchor.close();
  await running.pins.distrust('holders', other);
  await running.close();
  const { manifest: restored } = await restoreDomain({ dir: root, backup: join(root, 'backup') });
  expect(restored.files.map(({ name }) => name)).toContain('pins.json');
  // The backup was made while the pin stood: it does not come back.
  const again = await openDomainState(root, party);
  expect(again.pins.list('holders').map(({ id }) => id)).toEqual([third]);
  await again.close();
});
