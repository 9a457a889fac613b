/** SIGKILL to a gateway at work, at random and at named steps; `npm run test:kill` does many more rounds. */
import { afterAll, describe, expect, it } from 'vitest';
import { gatewayKillRounds } from '../kill/gateway-rounds.ts';
import { readGatewayTrace } from '../kill/gateway-trace.ts';
import { postgresBinaries, startPostgres } from '../support/postgres-server.ts';

const random = Math.random;

describe('a killed gateway', () => {
  it('has everything it acknowledged, once, and ends every reservation', async () => {
    const report = await gatewayKillRounds({ rounds: 4, random });
    expect([report.lost, report.broken]).toEqual([[], []]);
    expect(report.steps.size).toBe(2);
    expect(report.posted).toBeGreaterThan(5);
    expect(report.refusals).toBeGreaterThan(5);
  });

  it('is caught when it acknowledges what its file does not have', async () => {
    const report = await gatewayKillRounds({ rounds: 20, random, lateStore: true });
    expect(report.lost.length).toBeGreaterThan(0);
  });
});

const binaries = postgresBinaries();
describe.skipIf(binaries === undefined)('a killed gateway on PostgreSQL', async () => {
  const server = binaries === undefined ? undefined : await startPostgres(binaries);
  afterAll(() => server?.stop());

  it('has everything it acknowledged, whether it or the server died', async () => {
    const postgres = { server: server!, schema: 'weir_kill' };
    const report = await gatewayKillRounds({ rounds: 4, random, postgres });
    expect([report.lost, report.broken]).toEqual([[], []]);
    expect(report.posted).toBeGreaterThan(0);
  });
});

describe('the trace of a gateway', () => {
  const LOG = '/gateway.sqlite-wal>';
  const call = '7 read(21<TCP:[9]>, "POST /v1/runs HTTP/1.1\\r\\nhost"..., 65536) = 900';
  const answer = '7 writev(21<TCP:[9]>, [{iov_base="HTTP/1.1 202 Accepted"}], 2) = 412';
  const read = (...lines: string[]): object => readGatewayTrace(lines.join('\n'), LOG);

  it('takes a sync that began after the call, and no other', () => {
    const synced = `9 fdatasync(30</d${LOG}) = 0`;
    const begun = `9 fdatasync(30</d${LOG} <unfinished ...>`;
    const resumed = '9 <... fdatasync resumed>)            = 0';
    expect(read(call, synced, answer)).toEqual({ answers: 1, unsynced: 0 });
    expect(read(call, begun, resumed, answer)).toEqual({ answers: 1, unsynced: 0 });
    expect(read(synced, call, answer)).toEqual({ answers: 1, unsynced: 1 });
    expect(read(begun, call, resumed, answer)).toEqual({ answers: 1, unsynced: 1 });
    expect(read(call, begun, answer, resumed)).toEqual({ answers: 1, unsynced: 1 });
    const failed = `9 fdatasync(30</d${LOG}) = -1 EIO`;
    expect(read(call, failed, answer)).toEqual({ answers: 1, unsynced: 1 });
    const other = '9 fdatasync(30</d/other-wal>) = 0';
    expect(read(call, other, answer)).toEqual({ answers: 1, unsynced: 1 });
  });
});
