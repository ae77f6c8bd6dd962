import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Scripted, reply } from '../../sources/_testing.ts';
import { type RunQuery, Source } from '../../sources/source.ts';
import { Value } from '../../sources/value.ts';
import { RunList } from './list.ts';
import { Selection } from './selection.ts';

/** The gateway's run list: newest first, a page at a time, by cursors that name the last run of a page. */
class Runs {
  ids: number[] = [];
  readonly transport = new Scripted((request) => {
    const asked = new URLSearchParams(request.path.split('?')[1]);
    const [limit, cursor] = [Number(asked.get('limit')), asked.get('cursor')];
    const all = this.ids.filter((id) => asked.get('search') === null || String(id).includes(asked.get('search')!)).sort((a, b) => b - a);
    const rest = cursor === null ? all : all.filter((id) => id < Number(cursor));
    const page = rest.slice(0, limit);
    const items = page.map((id) => ({ run_id: String(id), status: 'running' }));
    const next = rest.length > limit ? String(page.at(-1)) : null;
    const body = JSON.stringify({ items, total: all.length, next });
    const tag = JSON.stringify(body);
    return request.headers?.['if-none-match'] === tag ? reply(304, '') : reply(200, body, { etag: tag });
  });
}

const controller = { current: new AbortController() };

beforeEach(() => {
  controller.current = new AbortController();
  vi.useFakeTimers();
});
afterEach(() => {
  controller.current.abort();
  vi.useRealTimers();
});

const settle = (ms = 0): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

async function listing(count: number, limit = 3): Promise<{ runs: Runs; list: RunList; held: Value<boolean>; query: Value<RunQuery>; ids: () => string }> {
  const runs = new Runs();
  runs.ids = Array.from({ length: count }, (_, i) => 10 + i);
  const held = new Value(false);
  const query = new Value<RunQuery>({});
  const list = new RunList(new Source(runs.transport), query, () => held.get(), controller.current.signal, limit);
  await settle();
  return { runs, list, held, query, ids: () => list.shown.get().rows.map((row) => row.run_id).join(' ') };
}

describe('a list of runs', () => {
  it('lets new ones in at once while nobody looks', async () => {
    const { runs, list, ids } = await listing(5);
    expect([ids(), list.shown.get().total]).toEqual(['14 13 12', 5]);
    runs.ids.push(20);
    await settle(1100);
    expect([ids(), list.shown.get().fresh, list.shown.get().total]).toEqual(['20 14 13', 0, 6]);
  });

  it('holds still while somebody looks, counts what has come, and goes on asking for every row that is shown', async () => {
    const { runs, list, held, ids } = await listing(5);
    held.set(true);
    runs.ids.push(20, 21);
    await settle(1100);
    expect([ids(), list.shown.get().fresh]).toEqual(['14 13 12', 2]);
    await settle(1100);
    expect(list.shown.get().gone.size).toBe(0); // those pushed down are asked for, too
    expect(runs.transport.asked.at(-1)!.path).toContain('limit=5');
    held.set(false);
    list.released();
    expect([ids(), list.shown.get().fresh]).toEqual(['21 20 14', 0]);
  });

  it('marks a row that no longer belongs there instead of taking it away under the mouse', async () => {
    const { runs, list, held, ids } = await listing(5);
    held.set(true);
    runs.ids = runs.ids.filter((id) => id !== 13);
    await settle(1100);
    expect([ids(), [...list.shown.get().gone], list.shown.get().fresh]).toEqual(['14 13 12', ['13'], 0]);
    held.set(false);
    list.released();
    expect(ids()).toBe('14 12 11');
  });

  it('turns pages forward and back, each run once, whatever comes meanwhile', async () => {
    const { runs, list, ids } = await listing(8);
    list.forward();
    await settle();
    expect([ids(), list.shown.get().page]).toEqual(['14 13 12', 1]);
    runs.ids.push(30, 31);
    await settle(1100);
    expect([ids(), list.shown.get().fresh]).toEqual(['14 13 12', 2]);
    list.forward();
    await settle();
    expect([ids(), list.shown.get().more]).toEqual(['11 10', false]);
    list.back();
    await settle();
    expect(ids()).toBe('14 13 12');
    list.catchUp();
    await settle();
    expect([ids(), list.shown.get().page]).toEqual(['31 30 17', 0]);
  });

  it('never leaves out a run on the next page because newer ones came', async () => {
    const { runs, list, held, ids } = await listing(6);
    held.set(true);
    runs.ids.push(30, 31);
    await settle(2200);
    list.forward();
    await settle();
    expect(ids()).toBe('12 11 10');
  });

  it('begins anew with another question, and keeps what is shown until it is answered', async () => {
    const { list, query, ids } = await listing(8);
    list.forward();
    await settle();
    query.set({ search: '5' });
    expect([ids(), list.shown.get().waiting]).toEqual(['14 13 12', true]);
    await settle();
    expect([ids(), list.shown.get().page, list.shown.get().total]).toEqual(['15', 0, 1]);
  });
});

describe('a selection', () => {
  it('takes ranges, in the order that is shown, and stays over pages', () => {
    const selection = new Selection(new Value<string[]>(['other']));
    const order = ['a', 'b', 'c', 'd', 'e'];
    selection.set('d', true, order);
    selection.set('b', true, order, true);
    expect(selection.ids.get()).toEqual(['other', 'd', 'b', 'c']);
    selection.set('c', false, order);
    selection.set('e', false, order, true);
    expect(selection.ids.get()).toEqual(['other', 'b']);
    selection.clear();
    expect(selection.ids.get()).toEqual([]);
  });
});
