/**
 * A dataset's source as a run may use it: of the version that all parties signed. The data may change
 * between the start of a run and its last row, and the domain may have opened the new version for
 * another run meanwhile. What was read is therefore looked at again before any of it is used: under
 * the fingerprint of another version it would be answered with that version's noise, so that the
 * difference of two answers would be exact.
 */
import type { DataSource } from '../catalog/data-source.ts';
import { PolicyError } from '../errors.ts';
import type { PartyId } from '../system/ids.ts';

export interface AgreedVersion {
  readonly self: PartyId;
  /** Whether the dataset is, at this moment, of the version in the descriptor. */
  isCurrent(): Promise<boolean>;
  /** What the engine took: told in this domain's own log, nowhere else. */
  took(engineMs: number): void;
}

/** Every answer throws PolicyError `dataset-drifted` where the version is another one by its end. */
export function agreedSource(source: DataSource, version: AgreedVersion): DataSource {
  const refuseDrift = async (): Promise<void> => {
    if (await version.isCurrent()) return;
    throw new PolicyError('dataset-drifted', 'The dataset changed while the run was at work.', {
      party: version.self,
      remedy: 'Sign a new request.',
    });
  };
  const { unitItems, concentrations } = source;
  return {
    describe: (signal) => source.describe(signal),
    aggregate: async (query, signal) => {
      const answer = await source.aggregate(query, signal);
      await refuseDrift();
      version.took(answer.engineMs);
      return answer;
    },
    ...(unitItems === undefined
      ? {}
      : {
          unitItems: async (query, take, signal) => {
            await unitItems.call(source, query, take, signal);
            await refuseDrift();
          },
        }),
    ...(concentrations === undefined
      ? {}
      : {
          concentrations: async (query, largest, signal) => {
            const answer = await concentrations.call(source, query, largest, signal);
            await refuseDrift();
            return answer;
          },
        }),
    async *streamColumns(columns, chunkRows, signal) {
      yield* source.streamColumns(columns, chunkRows, signal);
      await refuseDrift();
    },
    spillDirectory: () => source.spillDirectory(),
    close: () => source.close(),
  };
}
