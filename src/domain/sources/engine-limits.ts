/** Bounds of a source's engine; apart from it, since a configuration is read without any. */

/** What one source may take of the machine. */
export interface EngineLimits {
  readonly threads: number;
  readonly memoryMiB: number;
  readonly spillMiB: number;
  /** Longest time of one statement, the reading of its result included. */
  readonly statementMs: number;
}

export const DEFAULT_ENGINE_LIMITS: EngineLimits = {
  threads: 2,
  memoryMiB: 1024,
  spillMiB: 4096,
  statementMs: 120_000,
};
