/**
 * An analyst that answers for a few of the holder's points many times makes one item count many
 * times: more than noise made for one item hides. Probes catch it.
 */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  dummyElements,
  ELEMENT_BYTES,
  probeBaseElement,
  writeElement,
} from '../../protocols/psi/element.ts';
import { greet, receiveChunks, type PsiChannel } from '../../protocols/psi/exchange.ts';
import { EVALUATED, encodeChunk, POINTS } from '../../protocols/psi/messages.ts';
import { RAISED } from '../../protocols/psi/own-set.ts';
import { prepareSet } from '../../protocols/psi/blinded-set.ts';
import { CHUNK_ITEMS, HASH_TAG, type PsiParams } from '../../protocols/psi/params.ts';
import { runReceiver } from '../../protocols/psi/receiver.ts';
import { systemRandom } from '../../src/system/random.ts';
import { nativeCurve } from '../../workers/native-curve.ts';
import { OWN, holderMachine, runOwnSet } from '../fixtures/own-set.ts';
import { digestsOf, linkedChannels } from '../fixtures/psi.ts';

const TARGET = 'the one person';
const HOLDER = [TARGET, ...Array.from({ length: 15 }, (_, i) => `person ${i}`)];
const SIZES = { holderItems: 16, analystItems: 16 };
/** How often each answered point is answered. */
const TIMES = 4;
/** A quarter of the points is answered: in so many runs the target is among them for certain. */
const RUNS = 48;
const PARAMS: PsiParams = { ...OWN, chunkItems: CHUNK_ITEMS, setSizeMax: SIZES.holderItems };

function secrets(): Uint8Array[] {
  return Array.from({ length: TIMES }, () => systemRandom.bytes(32));
}

function sorted(records: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(records.toSorted((a, b) => Buffer.compare(a, b))));
}

/** The target under each secret, and dummies up to the announced size. */
function ownPoints(answering: readonly Uint8Array[]): Uint8Array {
  const element = new Uint8Array(ELEMENT_BYTES);
  writeElement(element, 0, createHash('sha256').update(TARGET).digest(), 0);
  const target = nativeCurve.hashToCurve(HASH_TAG, element, ELEMENT_BYTES, 1);
  const rest = SIZES.analystItems - TIMES;
  const random = dummyElements(systemRandom.bytes(32 * rest), rest);
  const dummies = nativeCurve.hashToCurve(HASH_TAG, random, ELEMENT_BYTES, rest);
  return sorted([
    ...answering.map((secret) => nativeCurve.multiply(secret, target)),
    ...Array.from({ length: rest }, (_, i) => dummies.slice(i * 32, i * 32 + 32)),
  ]);
}

/** Answers the first points it gets under every secret, and no others. */
async function amplify(channel: PsiChannel, params: PsiParams, raises: boolean): Promise<void> {
  const answering = secrets();
  const items = await greet(channel, params, 'sender', SIZES.analystItems);
  await channel.send(POINTS, encodeChunk(0, ownPoints(answering), 32));
  const answers: Uint8Array[] = [];
  for await (const points of receiveChunks(channel, params, POINTS, items, 32)) {
    const some = points.subarray(0, (items / TIMES) * 32);
    for (const secret of answering) {
      const evaluated = nativeCurve.multiply(secret, some);
      for (let at = 0; at < evaluated.length; at += 32) answers.push(evaluated.slice(at, at + 16));
    }
  }
  if (raises) {
    const base = nativeCurve.hashToCurve(
      HASH_TAG,
      probeBaseElement(params.context),
      ELEMENT_BYTES,
      1,
    );
    await channel.send(RAISED, nativeCurve.multiply(answering[0] ?? new Uint8Array(32), base));
  }
  await channel.send(EVALUATED, encodeChunk(0, sorted(answers), 16));
}

describe('one item counted many times', () => {
  it('ends the run, every time', async () => {
    for (let run = 0; run < RUNS; run++) {
      const attack = runOwnSet(HOLDER, [TARGET], SIZES, {
        params: PARAMS,
        analyst: (channel, params) => amplify(channel, params, true),
      });
      await expect(attack).rejects.toMatchObject({ code: 'probe-missing' });
    }
  });

  it('control: without probes the target alone counts four times, and is told from its absence', async () => {
    const countOf = async (items: readonly string[]): Promise<number> => {
      const ends = linkedChannels();
      const set = await prepareSet(PARAMS, holderMachine, digestsOf(items));
      const [outcome] = await Promise.all([
        runReceiver(ends.receiver, PARAMS, holderMachine, set),
        amplify(ends.sender, PARAMS, false),
      ]);
      await set.close();
      return outcome.shared;
    };
    const mostOf = async (items: readonly string[]): Promise<number> => {
      let most = 0;
      for (let run = 0; run < RUNS; run++) most = Math.max(most, await countOf(items));
      return most;
    };
    expect(await mostOf(HOLDER)).toBe(TIMES);
    expect(await mostOf(['another', ...HOLDER.slice(1)])).toBe(0);
  });
});
