/** What a run's answer is held to in this domain: budget and noise, or comparison with earlier ones. */
import type { DataSource } from '../catalog/data-source.ts';
import type { DomainRole } from '../computations/computation.ts';
import type { Contract } from '../contracts/contract.ts';
import type { Descriptor } from '../contracts/descriptor.ts';
import { noiseKey } from '../disclosure/noise-stream.ts';
import { questionOf } from '../disclosure/question.ts';
import type { Clock } from '../system/clock.ts';
import type { DomainConfig } from './config.ts';
import type { RegisteredDataset } from './dataset-registry.ts';
import type { DomainState } from './domain-state.ts';
import { DEFAULT_NAMESPACE, openNoiseBook } from './noise-book.ts';
import { openReleaseBook } from './release-book.ts';
import { sketchesOf } from './release-check.ts';
import type { SpendCommand } from './spend-rules.ts';

export interface RunDisclosure {
  /**
   * Spends the budget of a noised run, before the run is counted: from here on a refusal may leave a
   * charge, never noise without one. Nothing for an exact run.
   * @throws as `Counters.check`; MeteringError `quota-exceeded`
   */
  charge(command: SpendCommand, dataset: RegisteredDataset): Promise<void>;
  /** What the computation is handed. */
  ofRun(
    descriptor: Descriptor,
    contract: Contract,
    dataset: Pick<RegisteredDataset, 'published'> & { readonly source: DataSource },
    signal: AbortSignal,
  ): Pick<DomainRole, 'admit' | 'noiseOf'>;
}

export function openRunDisclosure(
  state: Pick<DomainState, 'store' | 'counters' | 'noiseSecret'>,
  config: Pick<DomainConfig, 'party' | 'noiseBudgetMicroRho' | 'releaseLossesAccepted'>,
  clock: Clock,
): RunDisclosure {
  const noise = openNoiseBook(state, BigInt(config.noiseBudgetMicroRho));
  const releases = openReleaseBook(state.store, config.releaseLossesAccepted);
  // What cannot be read now is read, and told, with the first comparison.
  releases.warm().catch(() => undefined);
  const key = noiseKey(state.noiseSecret, 'sketches', config.party);
  return {
    async charge(command, dataset) {
      const { contract, descriptor, nowMs } = command;
      if (descriptor.noise === 'none') return;
      await state.counters.check(command);
      await noise.charge({
        namespace: namespaceOf(dataset),
        question: questionOf(contract, descriptor),
        microRho: BigInt(descriptor.noise.microRhoPerRun),
        nowMs,
      });
    },
    ofRun(descriptor, contract, dataset, signal) {
      if (descriptor.noise !== 'none') {
        return { admit: undefined, noiseOf: noise.noiseOf(questionOf(contract, descriptor)) };
      }
      const { published, source } = dataset;
      if (published.privacyUnit === undefined) return { admit: undefined, noiseOf: undefined };
      const partners = descriptor.parties.map(({ id }) => id).join(' ');
      const table = `${namespaceOf(dataset)}/${published.name}`;
      return {
        noiseOf: undefined,
        admit: async (release) => {
          const { matchedWith } = release;
          const isMatch = matchedWith !== undefined;
          const namespace = isMatch ? `${table}/match/${matchedWith}` : table;
          // Of a match by groups the whole set too: other groups, or none, have it in common.
          const partitions = isMatch ? [[]] : published.partitions;
          await releases.admit(
            await sketchesOf(release, { source, key, partitions, namespace, signal }),
            {
              self: config.party,
              parties: isMatch ? `${partners} ${published.fingerprint}` : partners,
              threshold: contract.disclosure.smallestCell,
              nowMs: clock.now(),
            },
          );
        },
      };
    },
  };
}

function namespaceOf({ published }: Pick<RegisteredDataset, 'published'>): string {
  return published.privacyNamespace ?? DEFAULT_NAMESPACE;
}
