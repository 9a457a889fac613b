/** A dataset as a contract's purpose sees it: rows of people who consent to that purpose, and no other. */
import type { DatasetSource } from './dataset-registry.ts';

/** Whatever is asked of the answer is asked for this purpose. */
export function boundToPurpose(source: DatasetSource, purpose: string | undefined): DatasetSource {
  const { unitItems, concentrations } = source;
  return {
    describe: (signal) => source.describe(signal),
    aggregate: (query, signal) => source.aggregate({ ...query, purpose }, signal),
    ...(unitItems === undefined
      ? {}
      : {
          unitItems: (query, take, signal) =>
            unitItems.call(source, { ...query, purpose }, take, signal),
        }),
    ...(concentrations === undefined
      ? {}
      : {
          concentrations: (query, largest, signal) =>
            concentrations.call(source, { ...query, purpose }, largest, signal),
        }),
    streamColumns: (columns, chunkRows, signal) =>
      source.streamColumns(columns, chunkRows, signal, purpose),
    examine: (question, signal) => source.examine(question, signal),
    spillDirectory: () => source.spillDirectory(),
    close: () => source.close(),
  };
}
