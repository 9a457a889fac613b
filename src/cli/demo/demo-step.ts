/**
 * Seam: what `weir up --demo` shows is a list of steps, each a file here that works through the
 * analyst's SDK only. A new capability adds its step to the registry.
 */
import type { Analyst } from '../analyst.ts';

export interface DemoContext {
  readonly analyst: Analyst;
  /** The analyst's own directory, keys included. */
  readonly directory: string;
  /** Prints for people; silent under `--json`. */
  readonly print: (text: string) => void;
  readonly progress: (text: string, fraction?: number) => void;
}

/** A line of the JSON summary. */
export interface DemoRun {
  readonly protocol: string;
  readonly cells: number;
  readonly rowBucket: number;
  readonly wallMs: number;
  readonly recordSeq: number;
  readonly receipt: string;
}

export interface DemoStep {
  readonly name: string;
  readonly title: { readonly zh: string; readonly en: string };
  run(context: DemoContext): Promise<readonly DemoRun[]>;
}
