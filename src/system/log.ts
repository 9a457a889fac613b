/**
 * JSON logs that cannot leak: objects are walked before they are written (secret names and binary
 * values go, depth and length are bounded), and every finished line passes a last filter that
 * blanks whatever looks like a token, a key, a nonce, a JWS or a JWE, wherever it stood.
 */
import { pino, type DestinationStream, type Logger } from 'pino';
import { lineOutput } from './log-output.ts';

/** Facts about what happened, an error under `err`; then one sentence. */
interface Write {
  (facts: object, message: string): void;
  (message: string): void;
}

/** Narrow on purpose: no interpolation and no serializers, so nothing goes around the walk. */
export interface Log {
  readonly debug: Write;
  readonly info: Write;
  readonly warn: Write;
  readonly error: Write;
  /** A log whose every line carries these facts too. */
  child(facts: object): Log;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

export interface LogOptions {
  readonly level: LogLevel;
  /** Which program speaks: `gateway`, `domain` … */
  readonly name: string;
  /** Where lines go; standard output unless told. */
  readonly destination?: DestinationStream;
}

const DEPTH_MAX = 6;
const ENTRIES_MAX = 64;
/** A list of so many small integers is taken for bytes spelled out. */
const BYTES_MIN = 16;
const TEXT_CHARS_MAX = 4096;
const BLANK = '[redacted]';

/** Names whose values never leave, compared without case, hyphens and underscores. */
const SECRET_NAMES: ReadonlySet<string> = new Set([
  'accesstoken',
  'apikey',
  'apitoken',
  'arguments',
  'authorization',
  'bearer',
  'body',
  'cipher',
  'ciphertext',
  'cookie',
  'credential',
  'elements',
  'ephemeralsecret',
  'jwe',
  'jws',
  'key',
  'keypair',
  'keys',
  'mask',
  'nonce',
  'passphrase',
  'password',
  'payload',
  'plaintext',
  'pem',
  'privatekey',
  'proof',
  'rows',
  'sealed',
  'secret',
  'secretkey',
  'seed',
  'setcookie',
  'share',
  'signature',
  'token',
  'values',
]);

/** Hex of 32 bytes is blanked unless its field says that it is a hash or a fingerprint. */
const HEX = /(?<!(?:[hH]ash|[fF]ingerprint)\\?":\\?")\b[0-9a-fA-F]{64,}\b/g;
/** 32 bytes or more in base64url, which covers tokens, raw keys, nonces, JWS and JWE parts. */
const BASE64URL = /[A-Za-z0-9_-]{43,}/g;
const BASE64 = /[A-Za-z0-9+/]{42,}={1,2}/g;
const ONLY_HEX = /^[0-9a-f]{64}$/;
const PEM = /-----BEGIN [A-Z ]+-----.*?(?:-----END [A-Z ]+-----|$)/gs;

/** A logger that writes one JSON object a line. */
export function createLog(options: LogOptions): Log {
  const settings = {
    level: options.level,
    base: { name: options.name },
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: {},
    formatters: { level: (label: string) => ({ level: label }) },
    hooks: { streamWrite: blankSecrets },
  };
  return wrap(pino(settings, options.destination ?? lineOutput(1)));
}

function wrap(logger: Logger): Log {
  const write =
    (level: 'debug' | 'info' | 'warn' | 'error'): Write =>
    (first: object | string, message?: string) => {
      if (!logger.isLevelEnabled(level)) return;
      if (typeof first === 'string') logger[level](first);
      else logger[level](scrubEntries(first, 0), message ?? '');
    };
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (facts) => wrap(logger.child(scrubEntries(facts, 0))),
  };
}

/** The line with everything that looks like a secret blanked. Cost: linear in its length. */
export function blankSecrets(line: string): string {
  return line
    .replace(PEM, BLANK)
    .replace(HEX, BLANK)
    .replace(BASE64, BLANK)
    .replace(BASE64URL, (match) => (ONLY_HEX.test(match) ? match : BLANK));
}

function scrub(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case 'string':
      return value.length > TEXT_CHARS_MAX ? `${value.slice(0, TEXT_CHARS_MAX)}…` : value;
    case 'bigint':
      return value.toString();
    case 'object':
      return value === null ? null : scrubObject(value, depth);
    case 'number':
    case 'boolean':
    case 'undefined':
      return value;
    case 'symbol':
    case 'function':
      return `[${typeof value}]`;
  }
}

function scrubObject(value: object, depth: number): unknown {
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
    return `[${value.byteLength} bytes]`;
  }
  if (depth >= DEPTH_MAX) return '[deeper]';
  if (value instanceof Error) return scrubError(value, depth);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (Array.isArray(value)) {
    if (value.length >= BYTES_MIN && value.every(isByte)) return `[${value.length} bytes]`;
    return value.slice(0, ENTRIES_MAX).map((each) => scrub(each, depth + 1));
  }
  return scrubEntries(value, depth);
}

function isByte(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 255;
}

function scrubEntries(object: object, depth: number): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(object).slice(0, ENTRIES_MAX)) {
    out[name] = isSecretName(name) ? BLANK : scrub(value, depth + 1);
  }
  return out;
}

/** Type, code, message, stack and cause; other properties of an error may hold what it was given. */
function scrubError(error: Error, depth: number): Record<string, unknown> {
  const out: Record<string, unknown> = {
    type: error.name,
    message: scrub(error.message, depth + 1),
    stack: scrub(error.stack, depth + 1),
  };
  if ('code' in error && typeof error.code === 'string') out['code'] = error.code;
  if (error.cause !== undefined) out['cause'] = scrub(error.cause, depth + 1);
  return out;
}

function isSecretName(name: string): boolean {
  return SECRET_NAMES.has(name.replaceAll(/[-_]/g, '').toLowerCase());
}
