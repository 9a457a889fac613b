/** The gateway's part of a match: it relays what it cannot read, and passes the release on. */
import type { GatewayRole, HeldComputation, Release } from '../computation.ts';
import { roundedRelease } from '../rounded-release.ts';
import { followProgress } from './progress.ts';
import { matchShapeOf } from './shape.ts';
import {
  asPsiAbort,
  parsePsiResult,
  PSI_KINDS,
  SEALED_GROUPS_COLUMN,
  SEALED_KEYS_COLUMN,
  SEALED_SUM_COLUMN,
} from './wire.ts';

/** @see Computation.runGateway */
export async function runPsiGateway(role: GatewayRole): Promise<Release> {
  await PSI_HELD.relay(role);
  return PSI_HELD.finish(role);
}

/** The holders match over the link by themselves: the gateway hears how far they are, and the results. */
export const PSI_HELD: HeldComputation = {
  kinds: [PSI_KINDS.result, PSI_KINDS.done],
  relay: (role) =>
    asPsiAbort(() => followProgress(role, matchShapeOf(role.contract, role.descriptor.arguments))),
  finish: takeResults,
};

async function takeResults(role: GatewayRole): Promise<Release> {
  return asPsiAbort(async () => {
    const shape = matchShapeOf(role.contract, role.descriptor.arguments);
    const [message, done] = await Promise.all([
      role.channel.receive(shape.receiver, PSI_KINDS.result),
      role.channel.receive(shape.sender, PSI_KINDS.done),
    ]);
    const { ask } = shape.plan;
    const result = parsePsiResult(message, shape.groups === undefined ? ask : 'groups');
    role.progress(1, 'The holders are done.');
    if (result.ask !== 'cardinality') {
      // What is in it, and how much of it may be released, is the recipient's to see.
      const rows = [[result.statement]];
      const sealed = { suppressedCells: 0, releasedCells: 0 };
      if (result.ask === 'intersection') return { columns: [SEALED_KEYS_COLUMN], rows, ...sealed };
      const half = ask === 'sum' ? parsePsiResult(done, 'sum') : undefined;
      if (half?.ask === 'sum') rows.push([half.statement]);
      const column = result.ask === 'groups' ? SEALED_GROUPS_COLUMN : SEALED_SUM_COLUMN;
      return { columns: [column], rows, ...sealed };
    }
    const isReleased = result.shared !== null;
    const release = {
      columns: ['shared'],
      rows: [[result.shared]],
      suppressedCells: isReleased ? 0 : 1,
      releasedCells: isReleased ? 1 : 0,
    };
    return roundedRelease(release, role.contract);
  });
}
