/**
 * The control of the crash tests: a state that acknowledges from a working copy and reaches its own
 * file a moment later, as a disk does whose cache is not synced. A kill loses what was acknowledged last.
 */
import { copyFileSync, existsSync, renameSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { AUDIT_PROGRAMS, sqliteAudit } from '../../../src/audit/sqlite-audit.ts';
import {
  databaseFile,
  GATEWAY_MIGRATIONS,
  type GatewayState,
} from '../../../src/gateway/gateway-state.ts';
import { LEDGER_PROGRAMS, sqliteLedger } from '../../../src/ledger/sqlite-ledger.ts';
import { openSqliteStore } from '../../../src/store/sqlite-store.ts';

const LATE_MS = 150;

/** Opened in the place of `openGatewayState`. */
export async function openLateState(directory: string): Promise<GatewayState> {
  const file = databaseFile(directory);
  const working = `${file}.working`;
  for (const suffix of ['', '-wal', '-shm']) rmSync(working + suffix, { force: true });
  // The log of the last orderly writer, before this control began, goes along.
  for (const suffix of ['', '-wal']) {
    if (existsSync(file + suffix)) copyFileSync(file + suffix, working + suffix);
  }
  const store = await openSqliteStore({
    file: working,
    migrations: GATEWAY_MIGRATIONS,
    programs: { ...LEDGER_PROGRAMS, ...AUDIT_PROGRAMS },
  });
  let closed = false;
  const copy = async (): Promise<void> => {
    const next = `${file}.next`;
    rmSync(next, { force: true });
    await store.copyTo(next);
    renameSync(next, file);
    for (const suffix of ['-wal', '-shm']) rmSync(file + suffix, { force: true });
  };
  const copying = (async (): Promise<void> => {
    while (!closed) {
      await copy();
      await sleep(LATE_MS);
    }
  })();
  const close = async (): Promise<void> => {
    closed = true;
    await copying;
    await store.close();
  };
  return { store: { ...store, close }, ledger: sqliteLedger(store), audit: sqliteAudit(store) };
}
