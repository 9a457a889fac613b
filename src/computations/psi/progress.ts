/**
 * How far a match is. Each holder tells the gateway in coarse steps what it has done of a public
 * size: of its row cap's bucket while it blinds (how many of its rows have keys of their own shows
 * in no total), of the peer's padded size, which the gateway sees anyway, while it evaluates.
 */
import { z } from 'zod';
import { AbortError } from '../../errors.ts';
import { GATEWAY, type PartyId } from '../../system/ids.ts';
import type { PsiStep } from '../../../protocols/psi/blinded-set.ts';
import type { DomainRole, GatewayRole } from '../computation.ts';
import type { MatchShape } from './shape.ts';
import { PSI_KINDS } from './wire.ts';

/** Frames of one step at most. */
const PARTS = 16;
/** Frames of a holder at most: both steps, and the end. */
const FRAMES_MAX = 2 * PARTS + 1;
/** Of a frame: a step's name and two numbers. */
const PROGRESS_BYTES_MAX = 128;

const ProgressSchema = z.union([
  z.strictObject({
    step: z.enum(['blind', 'evaluate']),
    done: z.int().min(1),
    total: z.int().min(1),
  }),
  z.strictObject({ step: z.literal('end') }),
]);
type Progress = z.infer<typeof ProgressSchema>;

/** A domain's side. */
export interface ProgressTeller {
  /** @param total - of the step, where it may be told; the row cap's bucket otherwise. */
  tell(step: PsiStep, done: number, total?: number): void;
  /** Nothing more is told; resolves when all of it was taken. Once, before the result is sent. */
  end(): Promise<void>;
}

/** Tells `PARTS` times a step at most, and never holds the work up for it. */
export function progressTeller(role: DomainRole, shape: MatchShape): ProgressTeller {
  const itemsMax = shape.itemsMax.get(role.self) ?? 1;
  const told = { blind: 0, evaluate: 0 };
  let taken: Promise<void> = Promise.resolve();
  const send = (progress: Progress): void => {
    const payload = new TextEncoder().encode(JSON.stringify(progress));
    taken = taken.then(() => role.channel.send(GATEWAY, PSI_KINDS.progress, payload));
    // Looked at in `end`; until then a failure is not an unhandled one.
    taken.catch(() => undefined);
  };
  return {
    tell(step, done, total = itemsMax) {
      const part = Math.floor((done * PARTS) / total);
      if (part <= told[step]) return;
      told[step] = part;
      send({ step, done, total });
    },
    async end() {
      send({ step: 'end' });
      await taken;
    },
  };
}

/**
 * The gateway's side: follows both holders until each has said that it is done.
 * @throws AbortError `transcript-mismatch`
 */
export async function followProgress(role: GatewayRole, shape: MatchShape): Promise<void> {
  const latest = new Map<PartyId, Exclude<Progress, { step: 'end' }>>(
    [...shape.itemsMax].map(([party, total]) => [party, { step: 'blind', done: 0, total }]),
  );
  const show = (): void => {
    const all = [...latest];
    const isBlinding = all.some(([, { step }]) => step === 'blind');
    let [done, total, fraction] = [0, 0, 0];
    for (const [party, told] of all) {
      const share = told.done / told.total;
      fraction += (told.step === 'blind' ? share : 1 + share) / (2 * all.length);
      // Who compares already has blinded all it may have.
      const isAhead = isBlinding && told.step === 'evaluate';
      const itemsMax = shape.itemsMax.get(party) ?? 0;
      done += isAhead ? itemsMax : told.done;
      total += isAhead ? itemsMax : told.total;
    }
    role.progress(
      fraction,
      isBlinding
        ? `The holders blind their keys: ${done} of at most ${total} items.`
        : `The holders compare blinded keys: ${done} of ${total} items.`,
    );
  };
  const follow = async (party: PartyId): Promise<void> => {
    for (let frame = 0; frame < FRAMES_MAX; frame++) {
      const told = parseProgress(
        await role.channel.receive(party, PSI_KINDS.progress, PROGRESS_BYTES_MAX),
      );
      if (told.step === 'end') return;
      const before = latest.get(party);
      const isFurther =
        before?.step === told.step ? told.done > before.done : told.step === 'evaluate';
      if (!isFurther || told.total > shape.itemsMaxTotal || told.done > told.total) {
        throw malformed();
      }
      latest.set(party, told);
      show();
    }
    throw malformed();
  };
  show();
  await Promise.all([...latest.keys()].map(follow));
}

function parseProgress(bytes: Uint8Array): Progress {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    value = undefined;
  }
  const parsed = ProgressSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw malformed();
}

function malformed(): AbortError {
  return new AbortError('transcript-mismatch', 'A holder tells its progress out of form.');
}
