/** What a benchmark is: a subject with cases, each of which reports named numbers. */

export interface BenchContext {
  /** True with `--large`: bigger inputs, minutes instead of seconds. */
  readonly large: boolean;
  /** False where `--case` names another one: then the case is left out. */
  wants(caseName: string): boolean;
  report(caseName: string, metric: string, value: number, unit: string): void;
}

export interface BenchSuite {
  run(context: BenchContext): Promise<void>;
}

/** One reported number. */
export interface BenchResult {
  readonly suite: string;
  readonly case: string;
  readonly metric: string;
  readonly value: number;
  readonly unit: string;
}
