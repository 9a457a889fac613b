/** The gateway's part of a match: it relays what it cannot read, and passes the release on. */
import type { GatewayRole, HeldComputation, Release } from '../computation.ts';
import { roundedRelease } from '../rounded-release.ts';
import { MESSAGE_BYTES_MAX } from '../../link/limits.ts';
import { groupsSizeBytes } from './grouped.ts';
import { followProgress } from './progress.ts';
import { type MatchShape, matchShapeOf } from './shape.ts';
import {
  asPsiAbort,
  parsePsiResult,
  PSI_KINDS,
  SEALED_GROUPS_COLUMN,
  SEALED_KEYS_COLUMN,
  SEALED_SUM_COLUMN,
} from './wire.ts';

/** Of a result that is one number, in the clear. */
const NUMBER_BYTES_MAX = 64;
/** What a statement has around the sealed text: its fields, a signature, the header of the seal. */
const ENVELOPE_BYTES_MAX = 8192;

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
    const { ask } = shape.plan;
    const doneBytesMax = ask === 'sum' ? statementBytesMax(shape) : 0;
    const [message, done] = await Promise.all([
      role.channel.receive(shape.receiver, PSI_KINDS.result, resultBytesMax(shape)),
      role.channel.receive(shape.sender, PSI_KINDS.done, doneBytesMax),
    ]);
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

function resultBytesMax(shape: MatchShape): number {
  const { ask } = shape.plan;
  // How long the revealed keys are nobody knows beforehand; one holder sends them, once.
  if (ask === 'intersection') return MESSAGE_BYTES_MAX;
  const isNumber = ask === 'cardinality' && shape.groups === undefined;
  return isNumber ? NUMBER_BYTES_MAX : statementBytesMax(shape);
}

/** Of numbers for each group: the sealed text is padded to a length of its own, in base64. */
function statementBytesMax({ cells }: MatchShape): number {
  return Math.ceil((groupsSizeBytes(cells) * 4) / 3) + ENVELOPE_BYTES_MAX;
}
