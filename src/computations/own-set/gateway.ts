/** The gateway's part: it passes on what it cannot read, both ways, until the holder has its number. */
import {
  encodeGuestFrames,
  GUEST_BATCH_BYTES_MAX,
  GUEST_FRAME,
  parseGuestFrames,
} from '../../contracts/guest-frames.ts';
import { assertInvariant } from '../../errors.ts';
import type { GatewayRole, HeldComputation, Release } from '../computation.ts';
import { asPsiAbort } from '../psi/wire.ts';
import { roundedRelease } from '../rounded-release.ts';
import { ownSetShapeOf } from './shape.ts';
import { CHUNK_ITEMS } from '../../../protocols/psi/params.ts';
import type { OwnSetSizes } from '../../../protocols/psi/own-set.ts';
import { OWN_SET_RESULT, OWN_SET_RESULT_BYTES_MAX, parseOwnSetResult } from './wire.ts';

/** Progress is told so often at most. */
const PARTS = 32;

/** @see Computation.runGateway */
export async function runOwnSetGateway(role: GatewayRole): Promise<Release> {
  await OWN_SET_HELD.relay(role);
  return OWN_SET_HELD.finish(role);
}

/** The holder has the number by itself; the analyst's part is over before its officer decides. */
export const OWN_SET_HELD: HeldComputation = {
  kinds: [OWN_SET_RESULT],
  relay: passFrames,
  finish: takeNumber,
};

async function passFrames(role: GatewayRole): Promise<void> {
  return asPsiAbort(async () => {
    const { contract, descriptor, channel, guest } = role;
    assertInvariant(guest !== undefined, 'the analyst takes part in this run');
    const { holder, sizes } = ownSetShapeOf(contract, descriptor.arguments);
    const passed = passedOf(role, sizes);
    const toGuest = async (): Promise<void> => {
      for (;;) {
        const frames = parseGuestFrames(
          await channel.receive(holder, GUEST_FRAME, GUEST_BATCH_BYTES_MAX),
        );
        // The holder has read all it needs: nothing more goes either way.
        if (frames.length === 0) return guest.finish();
        for (const frame of frames) await guest.put(frame);
        passed();
      }
    };
    const fromGuest = async (): Promise<void> => {
      for (;;) {
        const frame = await guest.take();
        if (frame === undefined) return;
        await channel.send(holder, GUEST_FRAME, encodeGuestFrames([frame]));
        passed();
      }
    };
    await Promise.all([toGuest(), fromGuest()]);
  });
}

async function takeNumber(role: GatewayRole): Promise<Release> {
  return asPsiAbort(async () => {
    const { contract, descriptor, channel } = role;
    const { holder } = ownSetShapeOf(contract, descriptor.arguments);
    const { shared } = parseOwnSetResult(
      await channel.receive(holder, OWN_SET_RESULT, OWN_SET_RESULT_BYTES_MAX),
    );
    role.progress(1, 'The holder is done.');
    const isReleased = shared !== null;
    return roundedRelease(
      {
        columns: ['shared'],
        rows: [[shared]],
        suppressedCells: isReleased ? 0 : 1,
        releasedCells: isReleased ? 1 : 0,
      },
      contract,
    );
  });
}

/** Called for each frame that was passed on; tells how far the run is by public sizes, in few steps. */
function passedOf(role: GatewayRole, { holderItems, analystItems }: OwnSetSizes): () => void {
  const chunksOf = (items: number): number => Math.ceil(items / CHUNK_ITEMS);
  // Points and answers over the holder's list, the analyst's points, two hellos, the raised base.
  const total = 2 * chunksOf(2 * holderItems) + chunksOf(analystItems) + 3;
  let frames = 0;
  let told = -1;
  const tell = (): void => {
    const part = Math.floor((frames * PARTS) / total);
    if (part <= told) return;
    told = part;
    role.progress(Math.min(1, frames / total), 'Analyst and holder exchange blinded ids.');
  };
  tell();
  return () => {
    frames += 1;
    tell();
  };
}
