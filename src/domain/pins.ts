/**
 * Keys that the officer compared out of band: the other holders' and the gateways'. A file of its
 * own, mode 0600, replaced as a whole. A pinned key never changes silently.
 */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { InputError, SetupError, StateError } from '../errors.ts';
import { PublicKeySchema } from '../contracts/contract.ts';
import { isStrongSignKey } from '../contracts/key-strength.ts';
import { writeAtomically } from '../system/atomic-file.ts';
import { decodeBase64url, encodeBase64url } from '../system/base64url.ts';
import { PartyIdSchema } from '../system/ids.ts';
import type { PartyId } from '../system/ids.ts';
import { fingerprintOf } from '../system/signature-suite.ts';

export const PINS_MAX = 4096;

const PinSchema = z.strictObject({ id: PartyIdSchema, signKey: PublicKeySchema });
const PinsSchema = z.strictObject({
  format: z.literal('weir-pins/1'),
  holders: z.array(PinSchema).max(PINS_MAX),
  /** Named by the officer: a gateway's own name proves nothing. */
  gateways: z.array(PinSchema).max(PINS_MAX),
});
type PinsFile = z.infer<typeof PinsSchema>;
export type PinKind = 'holders' | 'gateways';

export interface Pin {
  readonly id: PartyId;
  readonly publicKey: Uint8Array;
  readonly fingerprint: string;
}

export interface Pins {
  /** The pinned key, raw, or undefined. */
  key(kind: PinKind, id: PartyId): Uint8Array | undefined;
  isGateway(publicKey: Uint8Array): boolean;
  list(kind: PinKind): readonly Pin[];
  /**
   * Pins a key; resolves once it is on disk. The same again changes nothing.
   * @throws StateError `already-exists` where another key is pinned under this name, or this key
   *   under another; InputError `malformed-message` where the key is not sound
   */
  trust(kind: PinKind, id: PartyId, publicKey: Uint8Array): Promise<void>;
  /** Removes a pin, so that another key may be pinned. */
  distrust(kind: PinKind, id: PartyId): Promise<void>;
}

/**
 * Reads the pins; a file that is not there holds none.
 * @throws SetupError `config-invalid` where it cannot be understood: it is never taken for empty
 */
export async function openPins(path: string): Promise<Pins> {
  let file = await readPins(path);
  let writing: Promise<void> = Promise.resolve();
  const replace = (change: (before: PinsFile) => PinsFile): Promise<void> => {
    const mine = writing.then(async () => {
      const changed = change(file);
      if (changed === file) return;
      await writeAtomically(path, `${JSON.stringify(changed, undefined, 2)}\n`, 0o600);
      file = changed;
    });
    writing = mine.catch(() => undefined);
    return mine;
  };
  return {
    key: (kind, id) => {
      const pin = file[kind].find((candidate) => candidate.id === id);
      return pin === undefined ? undefined : decodeBase64url(pin.signKey, 32);
    },
    isGateway: (publicKey) => {
      const signKey = encodeBase64url(publicKey);
      return file.gateways.some((pin) => pin.signKey === signKey);
    },
    list: (kind) =>
      file[kind].map((pin) => {
        const publicKey = decodeBase64url(pin.signKey, 32);
        return { id: pin.id, publicKey, fingerprint: fingerprintOf(publicKey) };
      }),
    trust: (kind, id, publicKey) => replace((before) => withPin(before, kind, id, publicKey)),
    distrust: (kind, id) =>
      replace((before) => ({
        ...before,
        [kind]: before[kind].filter((pin) => pin.id !== id),
      })),
  };
}

function withPin(before: PinsFile, kind: PinKind, id: PartyId, publicKey: Uint8Array): PinsFile {
  const signKey = encodeBase64url(publicKey);
  if (!isStrongSignKey(signKey)) {
    throw new InputError('malformed-message', 'This is no sound Ed25519 key.', { party: id });
  }
  const pins = before[kind];
  const known = pins.find((pin) => pin.id === id || pin.signKey === signKey);
  if (known === undefined) {
    if (pins.length >= PINS_MAX) {
      throw new InputError('set-too-large', 'Too many pins.', { rule: `at most ${PINS_MAX}` });
    }
    return { ...before, [kind]: [...pins, { id, signKey }] };
  }
  if (known.id === id && known.signKey === signKey) return before;
  throw new StateError('already-exists', 'Another key or name is pinned already.', {
    party: known.id,
    rule: `pinned: ${fingerprintOf(decodeBase64url(known.signKey, 32))}`,
    remedy: `If ${known.id} has told you of the change in person, remove its pin first (weir domain distrust).`,
  });
}

async function readPins(path: string): Promise<PinsFile> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return { format: 'weir-pins/1', holders: [], gateways: [] };
    }
    throw new SetupError('config-invalid', `The pins ${path} cannot be read.`, { path });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const parsed = PinsSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new SetupError('config-invalid', `The pins ${path} are damaged: restore the file.`, {
    path,
  });
}
