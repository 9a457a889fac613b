/** The gateway's part of a match: it relays what it cannot read, and passes the release on. */
import type { GatewayRole, Release } from '../computation.ts';
import { matchShapeOf } from './shape.ts';
import { asPsiAbort, parsePsiResult, PSI_KINDS, SEALED_KEYS_COLUMN } from './wire.ts';

/** @see Computation.runGateway */
export async function runPsiGateway(role: GatewayRole): Promise<Release> {
  return asPsiAbort(async () => {
    const shape = matchShapeOf(role.contract, role.descriptor.arguments);
    role.progress(0, 'The holders exchange blinded keys.');
    const [message] = await Promise.all([
      role.channel.receive(shape.receiver, PSI_KINDS.result),
      role.channel.receive(shape.sender, PSI_KINDS.done),
    ]);
    const result = parsePsiResult(message, shape.plan.ask);
    role.progress(1, 'The holders are done.');
    if (result.ask === 'intersection') {
      // How many keys there are is the recipient's to see.
      const rows = result.sealedKeys === null ? [] : [[result.sealedKeys]];
      return { columns: [SEALED_KEYS_COLUMN], rows, suppressedCells: 0, releasedCells: 0 };
    }
    const isReleased = result.shared !== null;
    return {
      columns: ['shared'],
      rows: [[result.shared]],
      suppressedCells: isReleased ? 0 : 1,
      releasedCells: isReleased ? 1 : 0,
    };
  });
}
