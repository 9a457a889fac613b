/** A gateway that follows the protocol's form and does what it likes with the sums. */
import type { Shape } from '../../src/computations/secure-sum/shape.ts';
import { shapeOf } from '../../src/computations/secure-sum/shape.ts';
import { KINDS, receiveBody, sendBody } from '../../src/computations/secure-sum/wire.ts';
import type { RunChannel } from '../../src/link/channel.ts';
import type { PartyId } from '../../src/system/ids.ts';
import { noblePrimitives } from '../../protocols/common/noble-primitives.ts';
import { addBodies } from '../../protocols/secure-sum/aggregator.ts';
import { encodeMaps, parseMaps, type MapStatement } from '../../protocols/secure-sum/messages.ts';
import { bodyBytes, type Layout } from '../../protocols/secure-sum/params.ts';
import type { Prepared } from './secure-sum-run.ts';

export interface Strategy {
  /** The totals a party is told, from what each sent; honest when absent. */
  totals?(bodies: readonly Uint8Array[], party: number, layout: Layout): Uint8Array;
  /** The statements a party is told. */
  maps?(statements: readonly MapStatement[], party: number): readonly MapStatement[];
  /** Changes a frame on its way to a party. */
  frame?(frame: Uint8Array): Uint8Array;
}

/** The sum of bodies, as an honest gateway makes it. */
export function honestTotal(bodies: readonly Uint8Array[], layout: Layout): Uint8Array {
  const [first, ...rest] = bodies;
  const total = first!.slice();
  addBodies(noblePrimitives, layout, 0, total, rest);
  return total;
}

/**
 * Resolves with round 2's bodies where the domains send them.
 * @param gone - for each party, resolves when it has ended, with or without a failure.
 */
export async function runEvilGateway(
  prepared: Pick<Prepared, 'contract' | 'descriptor'>,
  channel: RunChannel,
  strategy: Strategy,
  gone: readonly Promise<unknown>[],
): Promise<{ shape: Shape; bodies: readonly Uint8Array[] }> {
  const shape = shapeOf(prepared.contract, prepared.descriptor.arguments);
  const parties = prepared.descriptor.parties.map(({ id }) => id);
  const bodies = await collect(channel, parties, shape.counts, KINDS.counts);
  await Promise.all(
    parties.map(async (party, index) => {
      const total =
        strategy.totals?.(bodies, index, shape.counts) ?? honestTotal(bodies, shape.counts);
      await sendBody(shape.counts, 0, total, (frame) =>
        channel.send(party, KINDS.totals, strategy.frame?.(frame) ?? frame),
      );
    }),
  );
  const statements: MapStatement[] = [];
  for (const [index, party] of parties.entries()) {
    // A party that stopped sends none; the attacker fills its place with another's.
    const received = await Promise.race([
      channel.receive(party, KINDS.map),
      (gone[index] ?? Promise.resolve()).then(() => undefined),
    ]);
    const parsed = received === undefined ? statements : parseMaps(received, 1);
    if (parsed[0] !== undefined) statements.push(parsed[0]);
  }
  await Promise.all(
    parties.map((party, index) =>
      channel.send(party, KINDS.maps, encodeMaps(strategy.maps?.(statements, index) ?? statements)),
    ),
  );
  return { shape, bodies: await collect(channel, parties, shape.measures, KINDS.measures) };
}

async function collect(
  channel: RunChannel,
  parties: readonly PartyId[],
  layout: Layout,
  kind: string,
): Promise<readonly Uint8Array[]> {
  return Promise.all(
    parties.map(async (party) => {
      const body = new Uint8Array(bodyBytes(layout, 0));
      await receiveBody(layout, 0, body, () => channel.receive(party, kind));
      return body;
    }),
  );
}
