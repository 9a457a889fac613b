/**
 * The canary search: marked values looked for in bytes, in every encoding software is likely to
 * put them in, inside compressed streams too. Each encoding is one entry, so that a control can
 * leak through exactly one and prove that it is seen.
 */
import { brotliDecompressSync, gunzipSync, inflateRawSync, inflateSync } from 'node:zlib';
import { pack } from 'msgpackr';

export type Canary = bigint | string;

export interface Needle {
  readonly encoding: string;
  readonly bytes: Buffer;
}

const ascii = (text: string): Buffer => Buffer.from(text, 'latin1');

function integer(value: bigint, sizeBytes: 4 | 8, littleEndian: boolean): Buffer {
  const out = Buffer.alloc(sizeBytes);
  const view = new DataView(out.buffer, out.byteOffset, sizeBytes);
  if (sizeBytes === 8) view.setBigInt64(0, BigInt.asIntN(64, value), littleEndian);
  else view.setInt32(0, Number(BigInt.asIntN(32, value)), littleEndian);
  return out;
}

function float(value: bigint, sizeBytes: 4 | 8, littleEndian: boolean): Buffer {
  const out = Buffer.alloc(sizeBytes);
  const view = new DataView(out.buffer, out.byteOffset, sizeBytes);
  if (sizeBytes === 8) view.setFloat64(0, Number(value), littleEndian);
  else view.setFloat32(0, Number(value), littleEndian);
  return out;
}

/** Base64 of a text depends on where it starts: the parts that do not depend on its neighbours. */
function base64Cores(encoding: string, raw: Buffer): Needle[] {
  return [0, 1, 2].flatMap((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), raw, Buffer.alloc(2)]).toString('base64');
    const from = Math.ceil((shift * 8) / 6);
    const until = Math.floor(((shift + raw.length) * 8) / 6);
    const core = text.slice(from, until);
    if (core.length < 5) return [];
    const url = core.replaceAll('+', '-').replaceAll('/', '_');
    const names = [{ encoding, bytes: ascii(core) }];
    return url === core ? names : [...names, { encoding, bytes: ascii(url) }];
  });
}

/** All the byte strings that would show this value. */
export function needlesOf(canary: Canary): readonly Needle[] {
  const text = String(canary);
  const needles: Needle[] = [
    { encoding: 'decimal text', bytes: Buffer.from(text, 'utf8') },
    { encoding: 'utf-16le', bytes: Buffer.from(text, 'utf16le') },
    { encoding: 'utf-16be', bytes: Buffer.from(text, 'utf16le').swap16() },
    { encoding: 'hex of text', bytes: ascii(Buffer.from(text, 'utf8').toString('hex')) },
    ...base64Cores('base64 of text', Buffer.from(text, 'utf8')),
  ];
  if (typeof canary === 'string') {
    needles.push({ encoding: 'msgpack', bytes: Buffer.from(pack(canary)) });
    return needles;
  }
  const binary: Needle[] = [
    { encoding: 'int64 le', bytes: integer(canary, 8, true) },
    { encoding: 'int64 be', bytes: integer(canary, 8, false) },
    { encoding: 'float64 le', bytes: float(canary, 8, true) },
    { encoding: 'float64 be', bytes: float(canary, 8, false) },
    { encoding: 'float32 le', bytes: float(canary, 4, true) },
    { encoding: 'float32 be', bytes: float(canary, 4, false) },
    { encoding: 'msgpack', bytes: Buffer.from(pack(Number(canary))) },
  ];
  const isInt32 = canary >= -(2n ** 31n) && canary < 2n ** 32n;
  if (isInt32) {
    binary.push(
      { encoding: 'int32 le', bytes: integer(canary, 4, true) },
      { encoding: 'int32 be', bytes: integer(canary, 4, false) },
    );
  }
  needles.push(...binary);
  for (const { encoding, bytes } of binary) {
    if (!encoding.startsWith('int')) continue;
    needles.push({ encoding: 'hex of binary', bytes: ascii(bytes.toString('hex')) });
    needles.push(...base64Cores('base64 of binary', bytes));
  }
  const digits = canary.toString(16);
  // Fewer digits stand in any hash by chance.
  if (digits.length >= 7) needles.push({ encoding: 'hex number', bytes: ascii(digits) });
  return needles;
}

export interface Finding {
  readonly canary: string;
  readonly encoding: string;
  /** What the needle fixes: one of few bits stands in fresh keys and masks by chance at times. */
  readonly bits: number;
  readonly where: string;
  readonly offset: number;
}

const INFLATE_BYTES_MAX = 64 * 1024 * 1024;

/** Everything found in `haystack`, also within compressed streams that begin anywhere in it. */
export function findCanaries(
  canaries: readonly Canary[],
  haystack: Buffer,
  where: string,
): readonly Finding[] {
  return canarySearch(canaries)(haystack, where);
}

/** The same for many haystacks: what is looked for is worked out once. */
export function canarySearch(
  canaries: readonly Canary[],
): (haystack: Buffer, where: string) => readonly Finding[] {
  const needles = canaries.flatMap((canary) =>
    needlesOf(canary).map((needle) => ({ ...needle, canary: String(canary) })),
  );
  const search = (haystack: Buffer, where: string, depth: number): Finding[] => {
    const lowered = ascii(haystack.toString('latin1').toLowerCase());
    const findings = needles.flatMap(({ canary, encoding, bytes }) => {
      const offset = (encoding.startsWith('hex') ? lowered : haystack).indexOf(bytes);
      const bits = bytes.length * bitsPerByte(encoding);
      return offset < 0 ? [] : [{ canary, encoding, bits, where, offset }];
    });
    if (depth >= 2) return findings;
    for (const [name, inner] of decompressed(haystack)) {
      findings.push(...search(inner, `${where} > ${name}`, depth + 1));
    }
    return findings;
  };
  return (haystack, where) => search(haystack, where, 0);
}

function bitsPerByte(encoding: string): number {
  if (encoding.startsWith('hex')) return 4;
  return encoding.startsWith('base64') ? 6 : 8;
}

/** Streams with a recognisable head anywhere; headless ones only where the whole is one. */
function decompressed(bytes: Buffer): readonly (readonly [string, Buffer])[] {
  const found: (readonly [string, Buffer])[] = [];
  const attempt = (name: string, decode: () => Buffer): void => {
    try {
      const inner = decode();
      if (inner.length > 0) found.push([name, inner]);
    } catch {
      // Not such a stream.
    }
  };
  const options = { maxOutputLength: INFLATE_BYTES_MAX };
  for (
    let at = bytes.indexOf('1f8b08', 0, 'hex');
    at >= 0;
    at = bytes.indexOf('1f8b08', at + 1, 'hex')
  ) {
    attempt(`gzip@${at}`, () => gunzipSync(bytes.subarray(at), options));
  }
  for (const head of ['7801', '789c', '78da']) {
    for (let at = bytes.indexOf(head, 0, 'hex'); at >= 0; at = bytes.indexOf(head, at + 1, 'hex')) {
      attempt(`zlib@${at}`, () => inflateSync(bytes.subarray(at), options));
    }
  }
  attempt('deflate', () => inflateRawSync(bytes, options));
  attempt('brotli', () => brotliDecompressSync(bytes, options));
  return found;
}
