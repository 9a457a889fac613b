/** How the parties of a match get their correlation. */
import type { Correlator, WordCorrelator } from './psi-params.ts';
import type { VoleMachine } from './correlation.ts';
import { runOtReceiver } from './ot-receiver.ts';
import { runOtSender } from './ot-sender.ts';
import { runVoleReceiver } from './vole-receiver.ts';
import { runVoleSender } from './vole-sender.ts';

/** By LPN: few bytes, the default. */
export function lpnCorrelator(machine: VoleMachine): Correlator {
  return {
    sender: (channel, params) => runVoleSender(channel, params, machine),
    receiver: (channel, params) => runVoleReceiver(channel, params, machine),
  };
}

/** Without LPN: 64 bytes a column more than by LPN, for those who reject that assumption. */
export function otCorrelator(machine: VoleMachine): WordCorrelator {
  return {
    words: true,
    async sender(channel, params) {
      const { map, q } = await runOtSender(channel, params, machine);
      return { map: machine.primitives.vole.openMap(map), q };
    },
    receiver: (channel, params, vector) => runOtReceiver(channel, params, machine, vector),
  };
}
