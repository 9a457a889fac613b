/** How the parties of a match get their correlation. */
import type { Correlator } from './psi-params.ts';
import type { VoleMachine } from './correlation.ts';
import { runVoleReceiver } from './vole-receiver.ts';
import { runVoleSender } from './vole-sender.ts';

/** By LPN: few bytes, the default. */
export function lpnCorrelator(machine: VoleMachine): Correlator {
  return {
    sender: (channel, params) => runVoleSender(channel, params, machine),
    receiver: (channel, params) => runVoleReceiver(channel, params, machine),
  };
}
