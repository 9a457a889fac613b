/** A sealed sum in one process: holders, gateway and recipient as plain function calls. */
import { randomBytes } from 'node:crypto';
import type { BgvDecryptor, BgvEncryptor } from '../../protocols/common/bgv.ts';
import { addFrames } from '../../protocols/homomorphic/aggregator.ts';
import { residueCount, type SealedVector } from '../../protocols/homomorphic/headroom.ts';
import { generateSealingKeys, type SealingKeys } from '../../protocols/homomorphic/keys.ts';
import type { MaskPeer } from '../../protocols/homomorphic/masks.ts';
import { openFrame } from '../../protocols/homomorphic/opener.ts';
import { frameCount, sealedSumParameters } from '../../protocols/homomorphic/params.ts';
import { lanesOfFrame, sealFrame } from '../../protocols/homomorphic/party.ts';
import { nativePrimitives } from '../../workers/native-primitives.ts';
import { loadSeal } from '../../workers/seal-instance.ts';

/** Key pair, encryptors and decryptors for all four residues. */
export interface SealedWorld {
  readonly keys: SealingKeys;
  readonly encryptors: readonly BgvEncryptor[];
  readonly decryptors: readonly BgvDecryptor[];
}

export async function sealedWorld(): Promise<SealedWorld> {
  const keys = generateSealingKeys(await loadSeal());
  const [sealing, opening] = [await loadSeal(), await loadSeal()];
  return {
    keys,
    encryptors: keys.publicKeys.map((key, residue) =>
      sealing.encryptor(sealedSumParameters(residue), key),
    ),
    decryptors: keys.publicKeys.map((_, residue) =>
      opening.decryptor(sealedSumParameters(residue), keys.secretKey),
    ),
  };
}

/** What the parties of one run share. */
export interface SealedRun {
  readonly tagKey: Uint8Array;
  readonly descriptorHash: Uint8Array;
  readonly peers: readonly (readonly MaskPeer[])[];
}

export function sealedRun(parties: number): SealedRun {
  const secrets = new Map<string, Uint8Array>();
  const secretOf = (a: number, b: number): Uint8Array => {
    const name = `${Math.min(a, b)}-${Math.max(a, b)}`;
    const secret = secrets.get(name) ?? new Uint8Array(randomBytes(32));
    secrets.set(name, secret);
    return secret;
  };
  const others = (self: number): number[] =>
    Array.from({ length: parties }, (_, index) => index).filter((index) => index !== self);
  return {
    tagKey: new Uint8Array(randomBytes(32)),
    descriptorHash: new Uint8Array(randomBytes(32)),
    peers: Array.from({ length: parties }, (_, self) =>
      others(self).map((peer) => ({
        sign: self < peer ? (1 as const) : (-1 as const),
        secret: secretOf(self, peer),
      })),
    ),
  };
}

export function lanesFrom(values: readonly bigint[], laneBytes: 8 | 16): Uint8Array<ArrayBuffer> {
  const lanes = new Uint8Array(values.length * laneBytes);
  const view = new DataView(lanes.buffer);
  values.forEach((value, index) => {
    view.setBigUint64(index * laneBytes, BigInt.asUintN(64, value), true);
    if (laneBytes === 16)
      view.setBigUint64(index * laneBytes + 8, BigInt.asUintN(64, value >> 64n), true);
  });
  return lanes;
}

export function valuesFrom(lanes: Uint8Array, laneBytes: 8 | 16): bigint[] {
  const view = new DataView(lanes.buffer, lanes.byteOffset, lanes.length);
  return Array.from({ length: lanes.length / laneBytes }, (_, index) =>
    laneBytes === 8
      ? view.getBigInt64(index * 8, true)
      : (view.getBigInt64(index * 16 + 8, true) << 64n) + view.getBigUint64(index * 16, true),
  );
}

/** Every holder's frame for one place. */
export function sealAll(
  world: Pick<SealedWorld, 'encryptors'>,
  run: SealedRun,
  vector: SealedVector,
  lanes: readonly Uint8Array[],
  residue: number,
  frame: number,
): Uint8Array[] {
  const place = { vector, residue, frame };
  const { start, end } = lanesOfFrame(place);
  return lanes.map((own, self) =>
    sealFrame(nativePrimitives, world.encryptors[residue]!, {
      place,
      lanes: own.subarray(start, end),
      peers: run.peers[self]!,
      tagKey: run.tagKey,
      isFirst: self === 0,
      descriptorHash: run.descriptorHash,
    }),
  );
}

/** The whole protocol; `gateway` may replace the gateway's addition by an attack. */
export function sealedSum(
  world: SealedWorld,
  run: SealedRun,
  vector: SealedVector,
  lanes: readonly Uint8Array[],
  gateway: typeof addFrames = addFrames,
): bigint[] {
  const sums: bigint[] = [];
  for (let frame = 0; frame < frameCount(vector.cells); frame++) {
    const frames = Array.from({ length: residueCount(vector) }, (_, residue) =>
      gateway({ vector, residue, frame }, sealAll(world, run, vector, lanes, residue, frame)),
    );
    const opened = openFrame(nativePrimitives, world.decryptors, {
      vector,
      frame,
      sums: frames,
      tagKey: run.tagKey,
      descriptorHash: run.descriptorHash,
    });
    sums.push(...valuesFrom(opened, vector.laneBytes));
  }
  return sums;
}
