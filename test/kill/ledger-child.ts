/**
 * Runs reservations and settlements until it is killed, and tells each acknowledgement to the parent
 * through a pipe, written synchronously: what the parent read was acknowledged before the kill.
 * Arguments: `sqlite` and a file or `postgres` and URL#schema, the round, the mode, the requesters.
 */
import { writeSync } from 'node:fs';
import { AUDIT_MIGRATIONS } from '../../src/audit/chain-table.ts';
import { prepareReserve, prepareSettle } from '../../src/ledger/ledger-commands.ts';
import { LEDGER_MIGRATIONS } from '../../src/ledger/ledger-schema.ts';
import type { LedgerStore } from '../../src/ledger/ledger-store.ts';
import { openProgram } from '../../src/ledger/sqlite-program.ts';
import { openDatabase } from '../../src/store/database.ts';
import { groupWriter } from '../../src/store/group-writer.ts';
import { migrate } from '../../src/store/migrations.ts';
import { account, reserveCommand, runIdOf, settleCommand } from '../support/ledger-commands.ts';
import { openTarget } from './targets.ts';

type Commands = Pick<LedgerStore, 'reserve' | 'settle'>;

const [kind = '', place = '', round = '0', mode = 'honest', requesters = '8'] =
  process.argv.slice(2);

/** The control that never syncs: the same writer over a connection with the sync turned off. */
function openUnsynced(file: string): Commands {
  const db = openDatabase(file);
  db.exec('PRAGMA synchronous = OFF');
  migrate(db, [AUDIT_MIGRATIONS, LEDGER_MIGRATIONS]);
  const writer = groupWriter(db, { ledger: openProgram(db) });
  const call = async (name: string, argument: unknown): Promise<never> => {
    const [reply] = writer.commit([{ kind: 'call', program: 'ledger', name, argument }]);
    if (reply?.ok !== true) throw reply?.error;
    return reply.answer as never;
  };
  return {
    reserve: (command) => call('reserve', prepareReserve(command)),
    settle: (command) => call('settle', prepareSettle(command)),
  };
}

const ledger: Commands =
  mode === 'unsynced' ? openUnsynced(place) : (await openTarget(kind, place)).ledger;
const runs = account('contract', 'runs', 1_000_000_000);
let next = Number(round) * 1_000_000;

/** The pipe may be full for a moment: then the acknowledgement waits, and nothing else goes on. */
function tell(text: string): void {
  const bytes = Buffer.from(text);
  for (let sent = 0; sent < bytes.length; ) {
    try {
      sent += writeSync(1, bytes, sent);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
    }
  }
}

async function acknowledged(line: string, command: Promise<unknown>): Promise<void> {
  if (mode !== 'early') await command;
  tell(`${line}\n`);
  if (mode === 'early') await command;
}

async function requester(): Promise<void> {
  for (;;) {
    next += 1;
    const runId = runIdOf(next);
    const reserve = reserveCommand(`key-${next}`, runId, [[runs, 1]]);
    await acknowledged(`reserved ${runId}`, ledger.reserve(reserve));
    const outcome = next % 5 === 0 ? 'voided' : 'posted';
    const settle = settleCommand(runId, outcome, outcome === 'posted' ? { runs: 1 } : {});
    await acknowledged(`${outcome} ${runId}`, ledger.settle(settle));
  }
}

// A server that was killed under it ends the child too: what it acknowledged is with the parent.
process.on('unhandledRejection', () => process.exit(1));
await Promise.all(Array.from({ length: Number(requesters) }, requester));
