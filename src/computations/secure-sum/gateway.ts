/** The gateway's part of a secure sum: it adds masked blocks, relays statements, and finalizes. */
import type { PartyId } from '../../system/ids.ts';
import { laneBytes } from '../../../protocols/common/rings.ts';
import {
  encodeFrame,
  encodeList,
  encodeMaps,
  frameCount,
  listBytes,
  mapsBytes,
  parseList,
  parseMaps,
} from '../../../protocols/secure-sum/messages.ts';
import {
  blockCount,
  blockRange,
  bodyBytes,
  COMPLETE_GRAPH_MAX,
  sections,
  type Layout,
} from '../../../protocols/secure-sum/params.ts';
import type { AddBodiesArgument } from '../../../workers/secure-sum.ts';
import type { GatewayRole, HeldComputation, Release } from '../computation.ts';
import { finalize } from './finalize.ts';
import { shapeOf, type Shape } from './shape.ts';
import { asAbort, KINDS, receiveBody, isSmall } from './wire.ts';

/** Bodies added at a time: what bounds the gateway's memory however many parties there are. */
const BODIES_AT_ONCE = 4;
/** Share of a run's progress that the counting round takes. */
const COUNTING_SHARE = 0.4;

/** @see Computation.runGateway */
export async function runSecureSumGateway(role: GatewayRole): Promise<Release> {
  await SECURE_SUM_HELD.relay(role);
  return SECURE_SUM_HELD.finish(role);
}

/** Without the masked measures of every domain the others' are uniform words. */
export const SECURE_SUM_HELD: HeldComputation = {
  kinds: [KINDS.measures],
  relay: (role) =>
    asAbort(() => {
      const shape = shapeOf(role.contract, role.descriptor.arguments);
      return relayCounting(
        role,
        shape,
        role.descriptor.parties.map(({ id }) => id),
      );
    }),
  finish: (role) =>
    asAbort(async () => {
      const shape = shapeOf(role.contract, role.descriptor.arguments);
      return finalize(role.contract, shape, await measuringRound(role, shape));
    }),
};

/** The gateway's part of the counting round: it adds what it cannot open, and relays statements. */
export async function relayCounting(
  role: GatewayRole,
  shape: Shape,
  parties: readonly PartyId[],
): Promise<void> {
  if (parties.length > COMPLETE_GRAPH_MAX) {
    await relayLists(role, parties, KINDS.commitment, KINDS.commitments);
    await relayLists(role, parties, KINDS.nonce, KINDS.nonces);
  }
  await countingRound(role, shape, parties);
  await relayMaps(role, parties);
}

/** One item of every party goes to every party: first what they commit to, then what it was. */
async function relayLists(
  role: GatewayRole,
  parties: readonly PartyId[],
  kind: string,
  allKind: string,
): Promise<void> {
  const items = await Promise.all(
    parties.map(async (party) =>
      parseList(await role.channel.receive(party, kind, listBytes(1)), 1),
    ),
  );
  const message = encodeList(items.flat());
  await Promise.all(parties.map((party) => role.channel.send(party, allKind, message)));
}

async function countingRound(
  role: GatewayRole,
  shape: Shape,
  parties: readonly PartyId[],
): Promise<void> {
  const layout = shape.counts;
  const blocks = blockCount(layout);
  const desk = newDesk(layout);
  for (let block = 0; block < blocks; block++) {
    const total = await sumBlock(role, layout, block, KINDS.counts, desk);
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
    parties.map(async (party) =>
      parseMaps(await role.channel.receive(party, KINDS.map, mapsBytes(1)), 1),
    ),
  );
  const message = encodeMaps(statements.flat());
  await Promise.all(parties.map((party) => role.channel.send(party, KINDS.maps, message)));
}

/** The opened totals, vector by vector over all cells. */
async function measuringRound(role: GatewayRole, shape: Shape): Promise<readonly Uint8Array[]> {
  const layout = shape.measures;
  const blocks = blockCount(layout);
  const desk = newDesk(layout);
  const totals = layout.vectors.map((ring) => new Uint8Array(layout.cells * laneBytes(ring)));
  for (let block = 0; block < blocks; block++) {
    const total = await sumBlock(role, layout, block, KINDS.measures, desk);
    const { start } = blockRange(layout, block);
    for (const [vector, { ring, offset, length }] of sections(layout, block).entries()) {
      totals[vector]?.set(total.subarray(offset, offset + length), start * laneBytes(ring));
    }
    const share = ((block + 1) / blocks) * (1 - COUNTING_SHARE);
    role.progress(COUNTING_SHARE + share, 'Measures are being summed.');
  }
  return totals;
}

/** Memory that the gateway's threads share, made once a run: nothing grows with the parties. */
interface Desk {
  readonly total: Uint8Array;
  readonly bodies: readonly Uint8Array[];
}

function newDesk(layout: Layout): Desk {
  const buffer = (): Uint8Array => new Uint8Array(new SharedArrayBuffer(bodyBytes(layout, 0)));
  return { total: buffer(), bodies: Array.from({ length: BODIES_AT_ONCE }, buffer) };
}

/** The sum over all parties; valid until the desk is used again. */
async function sumBlock(
  role: GatewayRole,
  layout: Layout,
  block: number,
  kind: string,
  desk: Desk,
): Promise<Uint8Array> {
  const parties = role.descriptor.parties.map(({ id }) => id);
  const lengthBytes = bodyBytes(layout, block);
  const total = desk.total.subarray(0, lengthBytes);
  total.fill(0);
  for (let at = 0; at < parties.length; at += BODIES_AT_ONCE) {
    const bodies = await Promise.all(
      parties.slice(at, at + BODIES_AT_ONCE).map(async (party, index) => {
        const body = (desk.bodies[index] ?? new Uint8Array()).subarray(0, lengthBytes);
        await receiveBody(layout, block, body, (bytesMax) =>
          role.channel.receive(party, kind, bytesMax),
        );
        return body;
      }),
    );
    const task: AddBodiesArgument = { layout, block, total, bodies };
    await role.pool.run<void>('secure-sum', 'addBodiesTask', task, {
      signal: role.channel.signal,
      small: isSmall(layout, block),
    });
  }
  return total;
}
