/** Makes a party's directory: configuration and keys, readable by its owner only. */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { WeirClient } from '../client/weir-client.ts';
import { encodeEnrolment, verifyEnrolmentAnswer } from '../contracts/enrolment.ts';
import { DomainConfigSchema } from '../domain/config.ts';
import { SetupError } from '../errors.ts';
import { GatewayConfigSchema } from '../gateway/config.ts';
import { identityKeyFile, openGatewayState } from '../gateway/gateway-state.ts';
import { claimStore } from '../gateway/store-identity.ts';
import { TokenBook } from '../gateway/tokens.ts';
import { encodeBase64url } from '../system/base64url.ts';
import { systemClock } from '../system/clock.ts';
import { PartyIdSchema } from '../system/ids.ts';
import { createKeyFile, type KeyKind, readKeyFile } from '../system/key-file.ts';
import { systemRandom } from '../system/random.ts';
import { eddsaSuite, fingerprintOf, type KeyPair } from '../system/signature-suite.ts';
import { AnalystConfigSchema } from './analyst-config.ts';
import { makeDirectory, operatorTokenFile, writeConfig, writePrivateFile } from './directories.ts';
import { createExchangeKeys } from '../system/exchange-keys.ts';

const OPERATOR_TOKEN_TTL_S = 366 * 86_400;

interface Names {
  readonly zh: string;
  readonly en: string;
}

function subdirectories(directory: string): void {
  for (const name of ['keys', 'state']) {
    mkdirSync(join(directory, name), { recursive: true, mode: 0o700 });
  }
}

/** Where a gateway's state is, if it is on PostgreSQL. */
export interface PostgresPlace {
  /** Secret: it may hold a password. Goes into a file of its own, readable by its owner only. */
  readonly url: string;
  readonly schema?: string;
  /** Names this process among gateways on the database. */
  readonly instance?: string;
  /**
   * The identity key of the gateways that are there already: all on one database are one gateway to
   * domains, receipts and billing systems, or a record would come from two sources.
   */
  readonly identityKeyFile?: string;
}

const STORE_URL_FILE = 'store.url';

function placeOnPostgres(directory: string, place: PostgresPlace): object {
  writePrivateFile(join(directory, STORE_URL_FILE), `${place.url}\n`);
  const { schema, instance } = place;
  return { store: { kind: 'postgres', urlFile: STORE_URL_FILE, schema }, instance };
}

function makeGatewayKey(path: string, shared: string | undefined): KeyPair {
  if (shared === undefined || existsSync(path)) return makeOrKeep(path);
  const keys = readKeyFile(shared, 'ed25519');
  createKeyFile(path, 'ed25519', keys);
  return keys;
}

/** Keys, configuration, an empty ledger, and the first operator's token. */
export async function initGateway(options: {
  readonly directory: string;
  readonly host: string;
  readonly port: number;
  readonly tls?: { readonly certFile: string; readonly keyFile: string };
  /** A PostgreSQL in the place of the embedded store. */
  readonly postgres?: PostgresPlace;
}): Promise<{ readonly fingerprint: string }> {
  const directory = makeDirectory(options.directory);
  subdirectories(directory);
  const { host, port, tls, postgres } = options;
  const keys = makeGatewayKey(identityKeyFile(directory), postgres?.identityKeyFile);
  // Last to be written: a directory counts as made once its configuration stands.
  const config = GatewayConfigSchema.parse({
    format: 'weir-gateway/1',
    listen: { host, port },
    tls,
    ...(postgres === undefined ? {} : placeOnPostgres(directory, postgres)),
  });
  const state = await openGatewayState(directory, config.store);
  try {
    await claimStore(state.store, keys.publicKey);
    const tokens = new TokenBook(state.store, state.audit, systemClock, systemRandom);
    const { token } = await tokens.create({
      role: 'operator',
      party: PartyIdSchema.parse('operator'),
      label: 'made by weir init gateway',
      ttlS: OPERATOR_TOKEN_TTL_S,
    });
    writePrivateFile(operatorTokenFile(directory), `${token}\n`);
  } finally {
    await state.store.close();
  }
  writeConfig(directory, config);
  return { fingerprint: fingerprintOf(keys.publicKey) };
}

/** Keys made here and kept here; enrols with the one-time token and pins the gateway's key. */
export async function initDomain(options: {
  readonly directory: string;
  readonly party: string;
  readonly name: Names;
  readonly gatewayUrl: string;
  readonly token: string;
  readonly datasets: readonly string[];
  readonly caFile?: string;
  /** Compared with the gateway's key where the officer has it already. */
  readonly gatewayFingerprint?: string;
}): Promise<{ readonly fingerprint: string; readonly gatewayFingerprint: string }> {
  const directory = makeDirectory(options.directory);
  subdirectories(directory);
  const keys = makeOrKeep(identityKeyFile(directory));
  const request = encodeEnrolment(
    options.token,
    {
      id: PartyIdSchema.parse(options.party),
      name: options.name,
      signKey: encodeBase64url(keys.publicKey),
    },
    keys,
    eddsaSuite,
  );
  const client = new WeirClient({
    url: options.gatewayUrl,
    ...(options.caFile === undefined ? {} : { ca: readFileSync(options.caFile, 'utf8') }),
  });
  const answer = await client.enrol(request);
  const gatewayKey = verifyEnrolmentAnswer(answer, request, eddsaSuite);
  const gatewayFingerprint = fingerprintOf(gatewayKey);
  const expected = options.gatewayFingerprint;
  if (expected !== undefined && expected !== gatewayFingerprint) {
    throw new SetupError(
      'peer-mismatch',
      `The gateway shows the fingerprint ${gatewayFingerprint}, not ${expected}.`,
      { remedy: 'Somebody else answers at that address: do not go on.' },
    );
  }
  writeConfig(
    directory,
    DomainConfigSchema.parse({
      format: 'weir-domain/1',
      party: options.party,
      name: options.name,
      gateway: {
        url: options.gatewayUrl,
        publicKey: encodeBase64url(gatewayKey),
        ...(options.caFile === undefined ? {} : { caFile: options.caFile }),
      },
      datasets: [...options.datasets],
    }),
  );
  return { fingerprint: fingerprintOf(keys.publicKey), gatewayFingerprint };
}

/** An analyst's signing and encryption keys. */
export async function initAnalyst(options: {
  readonly directory: string;
  readonly party: string;
  readonly name: Names;
  readonly gatewayUrl: string;
  readonly caFile?: string;
}): Promise<{ readonly fingerprint: string }> {
  const directory = makeDirectory(options.directory);
  subdirectories(directory);
  const keys = makeOrKeep(identityKeyFile(directory));
  makeOrKeep(join(directory, 'keys', 'encryption.key'), 'x25519');
  writeConfig(
    directory,
    AnalystConfigSchema.parse({
      format: 'weir-analyst/1',
      party: { id: options.party, name: options.name, signKey: encodeBase64url(keys.publicKey) },
      gateway: {
        url: options.gatewayUrl,
        ...(options.caFile === undefined ? {} : { caFile: options.caFile }),
      },
    }),
  );
  return { fingerprint: fingerprintOf(keys.publicKey) };
}

/** A retry after a start that failed half-way keeps the keys that it made. */
function makeOrKeep(path: string, kind: KeyKind = 'ed25519'): KeyPair {
  try {
    const keys =
      kind === 'ed25519' ? eddsaSuite.generate(systemRandom) : createExchangeKeys(systemRandom);
    createKeyFile(path, kind, keys);
    return keys;
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    return readKeyFile(path, kind);
  }
}
