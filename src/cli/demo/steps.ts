/** The registry of demo steps, in the order they are shown. */
import { delaysByHour, delaysByMonthAndDistance } from './delay-steps.ts';
import { sharedFlights } from './match-step.ts';
import { sealedDelays } from './sealed-step.ts';
import type { DemoStep } from './demo-step.ts';

export const DEMO_STEPS: readonly DemoStep[] = [
  delaysByHour,
  delaysByMonthAndDistance,
  sealedDelays,
  sharedFlights,
];
