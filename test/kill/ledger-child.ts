/**
 * Runs reservations and settlements until it is killed, and tells each acknowledgement to the parent
 * through a pipe, written synchronously: what the parent read was acknowledged before the kill.
 * Arguments: file, round, and `early` for the control that acknowledges before the store did.
 */
import { writeSync } from 'node:fs';
import { AUDIT_MIGRATIONS } from '../../src/audit/chain-table.ts';
import { LEDGER_MIGRATIONS } from '../../src/ledger/ledger-schema.ts';
import { LEDGER_PROGRAMS, sqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import { openSqliteStore } from '../../src/store/sqlite-store.ts';
import { account, reserveCommand, runIdOf, settleCommand } from '../support/ledger-commands.ts';

const REQUESTERS = 8;
const [file = '', round = '0', mode = 'honest'] = process.argv.slice(2);

const store = await openSqliteStore({
  file,
  migrations: [AUDIT_MIGRATIONS, LEDGER_MIGRATIONS],
  programs: LEDGER_PROGRAMS,
});
const ledger = sqliteLedger(store);
const runs = account('contract', 'runs', 1_000_000_000);
let next = Number(round) * 1_000_000;

async function acknowledged(line: string, command: Promise<unknown>): Promise<void> {
  if (mode !== 'early') await command;
  writeSync(1, `${line}\n`);
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

await Promise.all(Array.from({ length: REQUESTERS }, requester));
