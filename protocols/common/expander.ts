/** The passes of an expander over its outputs, the same for the kernel and its plain twin. */

/** Regular taps taken in one pass: their segments together stay in a processor's nearer caches. */
const REGULAR_TAPS = 2;

/** To each output `taps` entries are added, the k-th from those `first` + k · `apart` and following. */
export interface ExpanderPass {
  readonly first: number;
  readonly apart: number;
  /** Entries that each is drawn from. */
  readonly range: number;
  readonly taps: number;
}

/**
 * One entry of each of as many equal segments as there are regular taps, then entries from anywhere.
 * @param entries - how many there are to draw from.
 */
export function expanderPasses(
  entries: number,
  taps: number,
  regularTaps: number,
): readonly ExpanderPass[] {
  const range = Math.floor(entries / regularTaps);
  const passes: ExpanderPass[] = [];
  for (let tap = 0; tap < regularTaps; tap += REGULAR_TAPS) {
    const now = Math.min(REGULAR_TAPS, regularTaps - tap);
    passes.push({ first: tap * range, apart: range, range, taps: now });
  }
  passes.push({ first: 0, apart: 0, range: entries, taps: taps - regularTaps });
  return passes;
}
