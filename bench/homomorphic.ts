/**
 * Sealed sums on one core, no sockets: encode, mask, encrypt at every holder, add, open. Beside
 * the bare calls of node-seal for the same ciphertexts, and beside Paillier.
 */
import { randomBytes } from 'node:crypto';
import initializeSeal, {
  type BatchEncoder,
  type Decryptor,
  type Encryptor,
  type Evaluator,
  type MainModule,
  type SEALContext,
} from 'node-seal';
import { z } from 'zod';
import type { BgvDecryptor, BgvEncryptor } from '../protocols/common/bgv.ts';
import { addFrames } from '../protocols/homomorphic/aggregator.ts';
import { residueCount, type SealedVector } from '../protocols/homomorphic/headroom.ts';
import { generateSealingKeys } from '../protocols/homomorphic/keys.ts';
import type { MaskPeer } from '../protocols/homomorphic/masks.ts';
import { ciphertextsAt } from '../protocols/homomorphic/messages.ts';
import { openFrame } from '../protocols/homomorphic/opener.ts';
import {
  ciphertextCount,
  DATA_MODULUS,
  DEGREE,
  frameCount,
  PLAIN_MODULI,
  sealedSumParameters,
} from '../protocols/homomorphic/params.ts';
import { lanesOfFrame, sealFrame } from '../protocols/homomorphic/party.ts';
import { nativePrimitives } from '../workers/native-primitives.ts';
import { loadSeal } from '../workers/seal-instance.ts';
import { runPeer } from './peer.ts';
import type { BenchContext, BenchSuite } from './suite.ts';

const HOLDERS = 3;
const CELLS = 1_000_000;
const REPETITIONS = 5;
const RSS_RUNS = 50;
const RSS_CELLS = 100_000;
const PEER_CELLS = 10;

export const homomorphicSuite: BenchSuite = {
  run: async (context) => {
    if (context.wants('sum 1Mx3')) await sums(context, 'sum 1Mx3');
    if (context.wants('memory 50 runs')) await memory(context, 'memory 50 runs');
  },
};

async function sums(context: BenchContext, name: string): Promise<void> {
  const run = await sealedRun(CELLS);
  const bare = await bareCalls();
  // One warm-up of each; then frame by frame in turn, so that both meet the same machine.
  oneSum(run);
  bare(ciphertextCount(CELLS));
  const walls: number[] = [];
  const bareWalls: number[] = [];
  const ratios: number[] = [];
  let wireBytes = 0;
  for (let repetition = 0; repetition < REPETITIONS; repetition++) {
    let [wall, bareWall] = [0, 0];
    wireBytes = 0;
    for (let frame = 0; frame < frameCount(CELLS); frame++) {
      const start = performance.now();
      wireBytes += sumFrame(run, frame);
      const between = performance.now();
      bare(ciphertextsAt({ vector: run.vector, residue: 0, frame }));
      const end = performance.now();
      wall += between - start;
      bareWall += end - between;
      ratios.push((between - start) / (end - between));
    }
    walls.push(wall);
    bareWalls.push(bareWall);
  }
  const wallS = median(walls) / 1000;
  const valuesPerSecond = (CELLS * HOLDERS) / wallS;
  context.report(name, 'wall_s', wallS, 's');
  context.report(name, 'values_per_s_core', valuesPerSecond, '1/s');
  context.report(name, 'bytes_per_value', wireBytes / (CELLS * HOLDERS), 'B');
  context.report(name, 'bare_wall_s', median(bareWalls) / 1000, 's');
  context.report(name, 'ratio_to_bare', median(ratios), '1');
  const PeerSchema = z.strictObject({
    values: z.number(),
    tookMs: z.number(),
    ok: z.literal(true),
  });
  const peer = PeerSchema.parse(
    await runPeer('paillier', [
      String(context.large ? 10 * PEER_CELLS : PEER_CELLS),
      String(HOLDERS),
    ]),
  );
  const peerPerSecond = peer.values / (peer.tookMs / 1000);
  context.report(name, 'paillier_values_per_s', peerPerSecond, '1/s');
  context.report(name, 'ratio_to_paillier', valuesPerSecond / peerPerSecond, '1');
}

/** Resident memory after fifty runs against that after the first twenty, which settle the heaps. */
async function memory(context: BenchContext, name: string): Promise<void> {
  const run = await sealedRun(context.large ? CELLS : RSS_CELLS);
  const resident: number[] = [];
  for (let count = 0; count < RSS_RUNS; count++) {
    oneSum(run);
    resident.push(process.memoryUsage.rss());
  }
  const growth = median(resident.slice(-15)) - median(resident.slice(15, 30));
  context.report(name, 'rss_growth_mib', growth / 2 ** 20, 'MiB');
  context.report(name, 'rss_max_mib', Math.max(...resident) / 2 ** 20, 'MiB');
}

interface SealedRun {
  readonly vector: SealedVector;
  readonly lanes: readonly Uint8Array[];
  readonly peers: readonly (readonly MaskPeer[])[];
  readonly tagKey: Uint8Array;
  readonly descriptorHash: Uint8Array;
  readonly encryptors: readonly BgvEncryptor[];
  readonly decryptors: readonly BgvDecryptor[];
}

async function sealedRun(cells: number): Promise<SealedRun> {
  const vector: SealedVector = {
    vector: 0,
    cells,
    laneBytes: 8,
    minimum: -(1n << 61n),
    maximum: (1n << 61n) - 1n,
    addends: HOLDERS,
  };
  const keys = generateSealingKeys(await loadSeal(), residueCount(vector));
  const [sealing, opening] = [await loadSeal(), await loadSeal()];
  const secrets = Array.from({ length: HOLDERS }, () => new Uint8Array(randomBytes(32)));
  const peersOf = (self: number): MaskPeer[] =>
    [...secrets.keys()]
      .filter((peer) => peer !== self)
      .map((peer) => ({
        sign: self < peer ? (1 as const) : (-1 as const),
        secret: secrets[(self + peer) % HOLDERS] ?? new Uint8Array(32),
      }));
  return {
    vector,
    lanes: Array.from({ length: HOLDERS }, () => randomLanes(cells)),
    peers: Array.from({ length: HOLDERS }, (_, self) => peersOf(self)),
    tagKey: new Uint8Array(randomBytes(32)),
    descriptorHash: new Uint8Array(randomBytes(32)),
    encryptors: keys.publicKeys.map((key, residue) =>
      sealing.encryptor(sealedSumParameters(residue), key),
    ),
    decryptors: keys.publicKeys.map((_, residue) =>
      opening.decryptor(sealedSumParameters(residue), keys.secretKey),
    ),
  };
}

/** 62-bit values of either sign. */
function randomLanes(cells: number): Uint8Array {
  const values = new BigInt64Array(cells);
  const bytes = new Uint8Array(values.buffer);
  for (let at = 0; at < bytes.length; at += 1 << 20)
    bytes.set(randomBytes(Math.min(1 << 20, bytes.length - at)), at);
  for (let cell = 0; cell < cells; cell++) values[cell] = (values[cell] ?? 0n) >> 2n;
  return bytes;
}

/** The whole protocol over all frames. */
function oneSum(run: SealedRun): void {
  for (let frame = 0; frame < frameCount(run.vector.cells); frame++) sumFrame(run, frame);
}

/** All roles over one frame; throws unless its first and last sums are right. */
function sumFrame(run: SealedRun, frame: number): number {
  const { vector, lanes, tagKey, descriptorHash } = run;
  const { start, end } = lanesOfFrame({ vector, residue: 0, frame });
  const sums: Uint8Array[] = [];
  let wireBytes = 0;
  for (const [residue, encryptor] of run.encryptors.entries()) {
    const place = { vector, residue, frame };
    const frames = lanes.map((own, self) =>
      sealFrame(nativePrimitives, encryptor, {
        place,
        lanes: own.subarray(start, end),
        peers: run.peers[self] ?? [],
        tagKey,
        isFirst: self === 0,
        descriptorHash,
      }),
    );
    wireBytes += frames.reduce((sum, { length }) => sum + length, 0);
    sums.push(addFrames(place, frames));
  }
  const opened = openFrame(nativePrimitives, run.decryptors, {
    vector,
    frame,
    sums,
    tagKey,
    descriptorHash,
  });
  verifySums(opened, lanes, start);
  return wireBytes;
}

function verifySums(opened: Uint8Array, lanes: readonly Uint8Array[], start: number): void {
  for (const at of [0, opened.length - 8]) {
    const expected = lanes.reduce((sum, own) => sum + int64At(own, start + at), 0n);
    if (int64At(opened, at) !== expected) throw new Error('the opened sum is wrong');
  }
}

function int64At(bytes: Uint8Array, at: number): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset).getBigInt64(at, true);
}

/** The library's own calls for the same number of ciphertexts, and nothing else. */
async function bareCalls(): Promise<(ciphertexts: number) => void> {
  const seal = await initializeSeal();
  const none = seal.ComprModeType.none;
  const sets = PLAIN_MODULI.slice(0, 2).map((plainModulus) => bareSet(seal, plainModulus));
  const slots = Array.from({ length: HOLDERS }, () => uniformSlots());
  const [plaintext, ciphertext, sum] = [
    new seal.Plaintext(),
    new seal.Ciphertext(),
    new seal.Ciphertext(),
  ];
  return (ciphertexts) => {
    for (let index = 0; index < ciphertexts; index++)
      for (const { context, encoder, encryptor, evaluator, decryptor } of sets) {
        const wire = slots.map((own): Uint8Array => {
          encoder.encode(own, plaintext);
          encryptor.encrypt(plaintext, ciphertext);
          return ciphertext.saveToArray(none);
        });
        for (const [holder, bytes] of wire.entries()) {
          (holder === 0 ? sum : ciphertext).loadFromArray(context, bytes);
          if (holder > 0) evaluator.addInplace(sum, ciphertext);
        }
        ciphertext.loadFromArray(context, sum.saveToArray(none));
        decryptor.decrypt(ciphertext, plaintext);
        encoder.decodeBigUint64(plaintext);
      }
  };
}

interface BareSet {
  readonly context: SEALContext;
  readonly encoder: BatchEncoder;
  readonly encryptor: Encryptor;
  readonly evaluator: Evaluator;
  readonly decryptor: Decryptor;
}

/** Created once and kept for the life of the process. */
function bareSet(seal: MainModule, plainModulus: bigint): BareSet {
  const settings = new seal.EncryptionParameters(seal.SchemeType.bgv);
  settings.setPolyModulusDegree(DEGREE);
  const moduli = new seal.VectorModulus();
  moduli.push_back(new seal.Modulus(DATA_MODULUS));
  settings.setCoeffModulus(moduli);
  settings.setPlainModulus(new seal.Modulus(plainModulus));
  const context = new seal.SEALContext(settings, true, seal.SecLevelType.tc192);
  const generator = new seal.KeyGenerator(context);
  return {
    context,
    encoder: new seal.BatchEncoder(context),
    encryptor: new seal.Encryptor(context, generator.createPublicKey()),
    evaluator: new seal.Evaluator(context),
    decryptor: new seal.Decryptor(context, generator.secretKey()),
  };
}

function uniformSlots(): BigUint64Array<ArrayBuffer> {
  const slots = new BigUint64Array(DEGREE);
  new Uint8Array(slots.buffer).set(randomBytes(DEGREE * 8));
  return slots.map((word) => word % PLAIN_MODULI[1]);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}
