/** The gateway's part of a secure sum: it adds masked blocks, relays statements, and finalizes. */
import type { PartyId } from '../../system/ids.ts';
import { laneBytes } from '../../../protocols/common/rings.ts';
import {
  encodeFrame,
  encodeMaps,
  frameCount,
  parseMaps,
} from '../../../protocols/secure-sum/messages.ts';
import {
  blockCount,
  blockRange,
  sections,
  type Layout,
} from '../../../protocols/secure-sum/params.ts';
import type { AddBodiesArgument } from '../../../workers/secure-sum.ts';
import type { GatewayRole, Release } from '../computation.ts';
import { finalize } from './finalize.ts';
import { shapeOf, type Shape } from './shape.ts';
import { asAbort, KINDS, receiveBody } from './wire.ts';

/** Bodies added at a time: what bounds the gateway's memory however many parties there are. */
const BODIES_AT_ONCE = 4;
/** Share of a run's progress that the counting round takes. */
const COUNTING_SHARE = 0.4;

/** @see Computation.runGateway */
export async function runSecureSumGateway(role: GatewayRole): Promise<Release> {
  return asAbort(async () => {
    const shape = shapeOf(role.contract, role.descriptor.arguments);
    const parties = role.descriptor.parties.map(({ id }) => id);
    await relayCounting(role, shape, parties);
    const totals = await measuringRound(role, shape, parties);
    return finalize(role.contract, shape, totals);
  });
}

/** The gateway's part of the counting round: it adds what it cannot open, and relays statements. */
export async function relayCounting(
  role: GatewayRole,
  shape: Shape,
  parties: readonly PartyId[],
): Promise<void> {
  await countingRound(role, shape, parties);
  await relayMaps(role, parties);
}

async function countingRound(
  role: GatewayRole,
  shape: Shape,
  parties: readonly PartyId[],
): Promise<void> {
  const layout = shape.counts;
  const blocks = blockCount(layout);
  for (let block = 0; block < blocks; block++) {
    const total = await sumBlock(role, layout, block, parties, KINDS.counts);
    for (let frame = 0; frame < frameCount(layout, block); frame++) {
      const message = encodeFrame(layout, block, frame, total);
      await Promise.all(parties.map((party) => role.channel.send(party, KINDS.totals, message)));
    }
    role.progress(((block + 1) / blocks) * COUNTING_SHARE, 'Counts are being summed.');
  }
}

/** Every party's signed statement goes to every party; each compares them itself. */
async function relayMaps(role: GatewayRole, parties: readonly PartyId[]): Promise<void> {
  const statements = await Promise.all(
    parties.map(async (party) => parseMaps(await role.channel.receive(party, KINDS.map), 1)),
  );
  const message = encodeMaps(statements.flat());
  await Promise.all(parties.map((party) => role.channel.send(party, KINDS.maps, message)));
}

/** The opened totals, vector by vector over all cells. */
async function measuringRound(
  role: GatewayRole,
  shape: Shape,
  parties: readonly PartyId[],
): Promise<readonly Uint8Array[]> {
  const layout = shape.measures;
  const blocks = blockCount(layout);
  const totals = layout.vectors.map((ring) => new Uint8Array(layout.cells * laneBytes(ring)));
  for (let block = 0; block < blocks; block++) {
    const total = await sumBlock(role, layout, block, parties, KINDS.measures);
    const { start } = blockRange(layout, block);
    for (const [vector, { ring, offset, length }] of sections(layout, block).entries()) {
      totals[vector]?.set(total.subarray(offset, offset + length), start * laneBytes(ring));
    }
    const share = ((block + 1) / blocks) * (1 - COUNTING_SHARE);
    role.progress(COUNTING_SHARE + share, 'Measures are being summed.');
  }
  return totals;
}

async function sumBlock(
  role: GatewayRole,
  layout: Layout,
  block: number,
  parties: readonly PartyId[],
  kind: string,
): Promise<Uint8Array> {
  let total: Uint8Array<ArrayBuffer> | undefined;
  for (let at = 0; at < parties.length; at += BODIES_AT_ONCE) {
    const received = await Promise.all(
      parties
        .slice(at, at + BODIES_AT_ONCE)
        .map((party) => receiveBody(layout, block, () => role.channel.receive(party, kind))),
    );
    const [first, ...bodies]: readonly Uint8Array<ArrayBuffer>[] =
      total === undefined ? received : [total, ...received];
    if (first === undefined) break;
    const task: AddBodiesArgument = { layout, block, total: first, bodies };
    total = await role.pool.run<Uint8Array<ArrayBuffer>>('secure-sum', 'addBodiesTask', task, {
      transfer: [first, ...bodies].map((body) => body.buffer),
      signal: role.channel.signal,
    });
  }
  return total ?? new Uint8Array();
}
