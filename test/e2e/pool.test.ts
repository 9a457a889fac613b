import { existsSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { noblePrimitives } from '../../protocols/common/noble-primitives.ts';
import { ProtocolError } from '../../protocols/common/protocol-error.ts';
import { measuresLayout } from '../../protocols/secure-sum/params.ts';
import { maskMeasures } from '../../protocols/secure-sum/party.ts';
import { CapacityError, InvariantError, StateError } from '../../src/errors.ts';
import { openPool } from '../../src/pool/piscina-pool.ts';
import type { Pool } from '../../src/pool/pool.ts';

const pools: Pool[] = [];
afterAll(async () => {
  await Promise.all(pools.map((pool) => pool.close()));
});
function opened(pool: Pool): Pool {
  pools.push(pool);
  return pool;
}

const layout = measuresLayout(100, []);
const keys = [[{ sign: 1 as const, key: new Uint8Array(32).fill(3) }]];
const lanes = Uint8Array.from({ length: 800 }, (_, at) => at);
const permitted = [new Uint8Array(100).fill(1)];
const task = () => ({ layout, block: 0, keys, body: lanes.slice(), permitted });
const expected = lanes.slice();
maskMeasures(noblePrimitives, { layout, block: 0, keys }, expected, permitted);

describe('the worker pool', () => {
  it('runs a task on another thread and moves buffers instead of copying', async () => {
    const pool = opened(openPool({ threadsMax: 1 }));
    const argument = task();
    const answer = await pool.run<Uint8Array>('secure-sum', 'maskMeasuresTask', argument, {
      transfer: [argument.body.buffer],
    });
    expect(answer).toEqual(expected);
    expect(argument.body.byteLength).toBe(0);
  });

  it('works from the build as from source', async () => {
    const built = new URL('../../dist/src/pool/piscina-pool.js', import.meta.url);
    expect(existsSync(built), 'npm run build comes first').toBe(true);
    const { openPool: openBuiltPool } = (await import(built.href)) as {
      openPool: typeof openPool;
    };
    const pool = opened(openBuiltPool({ threadsMax: 1 }));
    expect(await pool.run('secure-sum', 'maskMeasuresTask', task())).toEqual(expected);
  });

  it('does small work here, with the same answer, on a copy, with the same errors', async () => {
    const pool = opened(openPool({ threadsMax: 1 }));
    const argument = task();
    const small = { small: true };
    expect(await pool.run('secure-sum', 'maskMeasuresTask', argument, small)).toEqual(expected);
    expect(argument.body).toEqual(lanes);
    const bad = { ...task(), body: new Uint8Array(7) };
    await expect(pool.run('secure-sum', 'maskMeasuresTask', bad, small)).rejects.toMatchObject({
      code: 'length-wrong',
    });
    await expect(pool.run('secure-sum', 'noSuchTask', bad, small)).rejects.toBeInstanceOf(
      InvariantError,
    );
  });

  it("keeps a protocol's error code across threads", async () => {
    const pool = opened(openPool({ threadsMax: 1 }));
    const bad = { ...task(), body: new Uint8Array(7) };
    const failure = pool.run('secure-sum', 'maskMeasuresTask', bad);
    await expect(failure).rejects.toBeInstanceOf(ProtocolError);
    await expect(failure).rejects.toMatchObject({ code: 'length-wrong' });
  });

  it('refuses with queue-full beyond the bounded queue', async () => {
    const pool = opened(openPool({ threadsMax: 1, queueMax: 2 }));
    const runs = Array.from({ length: 12 }, () =>
      pool.run('secure-sum', 'maskMeasuresTask', task()),
    );
    const outcomes = await Promise.allSettled(runs);
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
    expect(refused.length).toBeGreaterThan(0);
    for (const { reason } of refused) {
      expect(reason).toBeInstanceOf(CapacityError);
      expect(reason).toMatchObject({ code: 'queue-full', facts: { retryAfterS: 1 } });
    }
    expect(outcomes[0]!.status).toBe('fulfilled');
    expect(await pool.run('secure-sum', 'maskMeasuresTask', task())).toEqual(expected);
  });

  it("ends a cancelled task with the signal's reason, queued or running", async () => {
    const pool = opened(openPool({ threadsMax: 1 }));
    const controller = new AbortController();
    const { signal } = controller;
    const runs = [0, 1].map(() => pool.run('secure-sum', 'maskMeasuresTask', task(), { signal }));
    const settled = Promise.allSettled(runs);
    controller.abort(new StateError('run-cancelled', 'Cancelled by its analyst.'));
    for (const outcome of await settled) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'run-cancelled' } });
    }
    await expect(
      pool.run('secure-sum', 'maskMeasuresTask', task(), { signal }),
    ).rejects.toMatchObject({ message: 'Cancelled by its analyst.' });
    expect(await pool.run('secure-sum', 'maskMeasuresTask', task())).toEqual(expected);
  });

  it('reports a crashed worker as a typed error and goes on with another', async () => {
    const pool = opened(openPool({ threadsMax: 1, threadHeapMiB: 24 }));
    // Reading this argument alone takes more memory than the thread may have: it dies.
    const bomb = Array.from({ length: 1_500_000 }, (_, index) => ({ index }));
    const crash = pool.run('secure-sum', 'maskMeasuresTask', bomb);
    await expect(crash).rejects.toBeInstanceOf(InvariantError);
    expect(await pool.run('secure-sum', 'maskMeasuresTask', task())).toEqual(expected);
  });
});
