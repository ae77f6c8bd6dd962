import { describe, expect, it } from 'vitest';
import type { OpenLock, RunRow, Status } from '../wire.ts';
import { Changes } from './changes.ts';
import type { Now } from './feed.ts';

const NOW = Date.parse('2026-11-22T12:00:00Z');
const row = (run_id: string, status: Status = 'running', ended = '2026-11-22T12:00:00Z'): RunRow =>
  ({ run_id, status, flow: 'primes', error: null, reason: '', ended }) as RunRow;
const lock = (run_id: string, lid: string): OpenLock => ({ run_id, lid, name: 'approval', flow: 'review', user: 'ada', ts: '', expires: null });
const now = (runs: RunRow[], locks: OpenLock[] = []): Now => ({ runs, total: runs.length, locks });

/** A log whose runs end as it says. */
function log(ends: Record<string, Status>, ended?: string): { changes: Changes; asked: string[] } {
  const asked: string[] = [];
  const changes = new Changes((runId) => {
    asked.push(runId);
    const status = ends[runId];
    return status ? Promise.resolve(row(runId, status, ended)) : Promise.reject(new Error('no such run'));
  }, () => NOW);
  return { changes, asked };
}

describe('changes', () => {
  it('tells ends and questions of watched runs, once', async () => {
    const { changes } = log({ a: 'finished', b: 'error' });
    const watched = new Set(['a', 'b', 'c']);
    expect(await changes.look(now([row('a'), row('b'), row('c')]), watched)).toEqual([]);
    const found = await changes.look(now([row('c', 'awaiting')], [lock('c', 'l1')]), watched);
    expect(found.map(({ what, runId }) => [what, runId])).toEqual([['asks', 'c'], ['finished', 'a'], ['failed', 'b']]);
    expect(await changes.look(now([row('c', 'awaiting')], [lock('c', 'l1')]), watched)).toEqual([]);
  });

  it('tells nothing of others, unless all are asked for', async () => {
    const one = log({ a: 'finished' });
    await one.changes.look(now([row('a')]), new Set());
    expect(await one.changes.look(now([]), new Set())).toEqual([]);
    expect(one.asked).toEqual([]);
    const all = log({ a: 'finished' });
    await all.changes.look(now([row('a')]), null);
    expect(await all.changes.look(now([]), null)).toMatchObject([{ what: 'finished', runId: 'a' }]);
  });

  it('tells nothing of what there was at the first look, or what somebody cancelled', async () => {
    const { changes } = log({ old: 'finished', stopped: 'cancelled' });
    expect(await changes.look(now([row('stopped')], [lock('x', 'l')]), new Set(['old', 'x', 'stopped']))).toEqual([]);
    expect(await changes.look(now([]), new Set(['old', 'stopped']))).toEqual([]);
  });

  it('tells of a run that came and went between two looks, and asks for each end once', async () => {
    const { changes, asked } = log({ quick: 'finished' });
    await changes.look(now([]), new Set());
    expect(await changes.look(now([]), new Set(['quick']))).toMatchObject([{ what: 'finished', runId: 'quick' }]);
    await changes.look(now([]), new Set(['quick']));
    expect(asked).toEqual(['quick']);
  });

  it('tells nothing of a run that is opened long after its end', async () => {
    const { changes } = log({ old: 'finished' }, '2026-11-22T11:00:00Z');
    await changes.look(now([]), new Set());
    expect(await changes.look(now([]), new Set(['old']))).toEqual([]);
  });

  it('goes on without a run that is not in this log', async () => {
    const { changes, asked } = log({});
    await changes.look(now([]), new Set(['elsewhere']));
    await changes.look(now([]), new Set(['elsewhere']));
    expect(asked).toEqual(['elsewhere']);
  });

  it('waits for a run that is open but beyond those that are listed', async () => {
    const { changes } = log({ a: 'running' });
    await changes.look(now([row('a')]), new Set(['a']));
    expect(await changes.look(now([row('b')]), new Set(['a']))).toEqual([]);
  });
});
