/** The officer examines how well a dataset hides people, and decides on its grade. */
import { regradeHash, signRegrade } from '../catalog/regrade.ts';
import { InputError, PolicyError, StateError } from '../errors.ts';
import type { Clock } from '../system/clock.ts';
import type { PartyId } from '../system/ids.ts';
import type { OfficerActions } from './admin-server.ts';
import type { DatasetRegistry, RegisteredDataset } from './dataset-registry.ts';
import type { DomainState } from './domain-state.ts';

export interface DatasetParts {
  readonly self: PartyId;
  readonly state: Pick<DomainState, 'identity' | 'regrades'>;
  readonly datasets: Pick<DatasetRegistry, 'current'>;
  readonly clock: Clock;
  /** What is published changed. */
  readonly republish: () => void;
}

/** Figures are exact and stay between officer and domain. */
export function datasetActions(
  parts: DatasetParts,
): Pick<OfficerActions, 'examine' | 'regrade' | 'withdrawRegrade'> {
  const { self, state, datasets, clock } = parts;
  const found = async (name: string): Promise<RegisteredDataset> => {
    const dataset = await datasets.current(name);
    if (dataset !== undefined) return dataset;
    throw new InputError('dataset-unknown', `No dataset ${name} is registered here.`, {
      party: self,
      remedy: '`weir domain status` lists them.',
    });
  };
  return {
    examine: async (name, question) => {
      const { published, source } = await found(name);
      const figures = await source.examine(question);
      return { dataset: name, grade: published.grade, fingerprint: published.fingerprint, figures };
    },
    regrade: async (name, { question, demand, reason, decidedBy }) => {
      const { published, source, registeredGrade } = await found(name);
      refuseGrade(registeredGrade, self);
      // Described just before: data that changes in between is refused as drifted.
      const figures = await source.examine(question);
      const signed = signRegrade(
        {
          format: 'weir-regrade/1',
          holder: self,
          dataset: name,
          fingerprint: published.fingerprint,
          from: 'important',
          to: 'general',
          question,
          demand,
          figures,
          reason,
          decidedBy,
          decidedAt: new Date(clock.now()).toISOString(),
        },
        state.identity,
      );
      await state.regrades.keep(signed, clock.now());
      parts.republish();
      return { hash: regradeHash(signed.decision), figures };
    },
    withdrawRegrade: async (name) => {
      if ((await state.regrades.of(name)) === undefined) {
        throw new StateError('already-exists', 'The dataset has its registered grade already.', {
          rule: `dataset ${name}`,
        });
      }
      await state.regrades.withdraw(name);
      parts.republish();
    },
  };
}

function refuseGrade(grade: 'general' | 'important' | 'core', party: PartyId): void {
  if (grade === 'important') return;
  if (grade === 'core') {
    throw new PolicyError('grade-forbids-protocol', 'Core data has no way down.', {
      party,
      rule: 'grade core',
      remedy: 'None: whatever is signed, this dataset stays closed.',
    });
  }
  throw new InputError('parameter-invalid', 'The dataset is registered as general already.', {
    party,
    rule: 'grade general',
  });
}
