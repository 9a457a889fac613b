/** What the store and its thread say to each other; errors lose their class on the way. */
import {
  CapacityError,
  InvariantError,
  SetupError,
  WeirError,
  type ErrorFacts,
} from '../errors.ts';
import type { QueryRequest, WriteRequest } from './group-writer.ts';
import type { MigrationList } from './migrations.ts';
import { StoreConflict } from './store.ts';

export interface ThreadSetup {
  readonly file: string;
  readonly migrations: readonly MigrationList[];
  /** Module URLs by program name. */
  readonly programs: Readonly<Record<string, string>>;
}

export type ThreadRequest = { readonly id: number } & (
  | WriteRequest
  | QueryRequest
  | { readonly kind: 'copy'; readonly file: string }
  | { readonly kind: 'close' }
);

export type ThreadReply =
  | { readonly id: number; readonly ok: true; readonly answer: unknown }
  | { readonly id: number; readonly ok: false; readonly fault: Fault };

/** The id of the reply that says whether the database opened. */
export const OPENED_ID = 0;

export type Fault =
  | { readonly kind: 'conflict'; readonly index: number }
  | {
      readonly kind: 'error';
      readonly family: string;
      readonly code: string;
      readonly message: string;
      readonly facts: ErrorFacts;
    };

/** An error as it crosses the thread. */
export function encodeFault(error: unknown): Fault {
  if (error instanceof StoreConflict) return { kind: 'conflict', index: error.index };
  if (error instanceof WeirError) {
    const { family, code, message, facts } = error;
    return { kind: 'error', family, code, message, facts };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { kind: 'error', family: 'invariant', code: 'internal', message, facts: {} };
}

/** The error the caller sees. A family that no thread raises becomes an invariant's. */
export function decodeFault(fault: Fault): Error {
  if (fault.kind === 'conflict') return new StoreConflict(fault.index);
  if (fault.family === 'capacity') {
    const code = fault.code === 'disk-full' ? 'disk-full' : 'store-unavailable';
    return new CapacityError(code, fault.message, fault.facts);
  }
  if (fault.family === 'setup') return new SetupError('config-invalid', fault.message, fault.facts);
  return new InvariantError('internal', fault.message, fault.facts);
}
