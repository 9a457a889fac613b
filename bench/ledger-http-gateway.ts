/**
 * A metered HTTP route in a process of its own, behind the gateway's socket and body reader: parse,
 * validate, reserve, post, answer. `/hello` does the same without the ledger.
 * Argument: a directory for the store. Tells its port to its parent; ends with it.
 */
import { OpenAPIHono, z } from '@hono/zod-openapi';
import { join } from 'node:path';
import { AUDIT_MIGRATIONS } from '../src/audit/chain-table.ts';
import { BodyReader } from '../src/gateway/json-body.ts';
import { startServer } from '../src/gateway/server.ts';
import type { HttpApp } from '../src/gateway/endpoint.ts';
import { LEDGER_MIGRATIONS } from '../src/ledger/ledger-schema.ts';
import { LEDGER_PROGRAMS, sqliteLedger } from '../src/ledger/sqlite-ledger.ts';
import { openSqliteStore } from '../src/store/sqlite-store.ts';
import { systemClock } from '../src/system/clock.ts';
import { HashSchema, PartyIdSchema } from '../src/system/ids.ts';
import { createLog } from '../src/system/log.ts';
import { accountsOf, linesOf, onePair } from './ledger-driver.ts';

const BODY_MAX_BYTES = 16_384;
const CONTRACTS = 64;

const CallSchema = z.strictObject({
  contract: z
    .int()
    .min(0)
    .max(CONTRACTS - 1),
  analyst: PartyIdSchema,
  datasets: z.array(z.strictObject({ name: z.string().max(63), fingerprint: HashSchema })).max(16),
  elements: z.array(z.string().max(64)).max(64),
});
const KeySchema = z.string().regex(/^[\x21-\x7e]{1,128}$/);

const store = await openSqliteStore({
  file: join(process.argv[2] ?? '.', 'ledger.db'),
  migrations: [AUDIT_MIGRATIONS, LEDGER_MIGRATIONS],
  programs: LEDGER_PROGRAMS,
});
const ledger = sqliteLedger(store);
const lines = Array.from({ length: CONTRACTS }, (_, at) =>
  linesOf(accountsOf('http', at, 10n ** 12n)),
);
const bodies = new BodyReader();
const app: HttpApp = new OpenAPIHono();

app.post('/hello', async (context) => {
  const call = CallSchema.parse(await bodies.read(context.env.incoming, BODY_MAX_BYTES));
  return context.json({ contract: call.contract });
});
app.post('/metered', async (context) => {
  const call = CallSchema.parse(await bodies.read(context.env.incoming, BODY_MAX_BYTES));
  const key = KeySchema.parse(context.req.header('idempotency-key'));
  const posted = await onePair(ledger, key, lines[call.contract] ?? []);
  return context.json({ posted });
});
app.get('/records', async (context) => {
  const [row] = await store.query('SELECT count(*) AS records FROM ledger_record');
  return context.json({ records: String(row?.['records']) });
});

const log = createLog({ level: 'silent', name: 'bench' });
const server = await startServer({ app, host: '127.0.0.1', port: 0, clock: systemClock, log });
process.once('disconnect', () => process.exit(0));
process.send?.({ port: server.port });
