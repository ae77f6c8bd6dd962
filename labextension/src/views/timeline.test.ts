import { afterEach, describe, expect, it, vi } from 'vitest';
import { Scripted, arrowOf, reply } from '../sources/_testing.ts';
import { type Event, EventTable } from '../sources/events.ts';
import { Refusal, Source } from '../sources/source.ts';
import { pathOf } from './metrics/chart.ts';
import { type RunState, emptyState, foldEvents } from './fold.ts';
import { csv } from './metrics.ts';
import { ReplaySource } from './replay/source.ts';
import { logTicks, rounded, short, ticks, timeLabel, timeTicks } from './ticks.ts';
import { Layout } from './timeline/layout.ts';

const at = (ts: number, kind: Event['kind'], payload: unknown, agent: string | null = null): Partial<Event> =>
  ({ ts, kind, agent, payload: JSON.stringify(payload) });

function stateOf(...events: Partial<Event>[]): RunState {
  const state = emptyState();
  foldEvents(state, EventTable.from(arrowOf(events.map((event, seq) => ({ seq, ...event })))));
  return state;
}

const open = (ts: number, id: string, parent: string | null = null, agent: string | null = null): Partial<Event> =>
  at(ts, 'span', { id, parent, name: id, state: 'open' }, agent);
const close = (ts: number, id: string, error: string | null = null, agent: string | null = null): Partial<Event> =>
  at(ts, 'span', { id, name: id, state: 'closed', duration_s: 0, error }, agent);

function laid(state: RunState): { layout: Layout; row: (id: string) => number } {
  const layout = new Layout();
  layout.update(state);
  return { layout, row: (id) => layout.items.get(id)!.row };
}

describe('a timeline', () => {
  it('puts what is nested below what is around it, and what is at once below each other', () => {
    const { layout, row } = laid(stateOf(
      at(0, 'meta', {}), open(0, 'a'), open(1, 'b', 'a'), open(1, 'c', 'a'), close(2, 'b'), open(3, 'd', 'a'), close(4, 'c'), close(5, 'd'), close(6, 'a'),
    ));
    expect([row('a'), row('b'), row('c'), row('d')]).toEqual([0, 1, 2, 1]);
    expect(layout.lanes.map((lane) => [lane.agent, lane.rows])).toEqual([[null, 3]]);
  });

  it('has a lane for each agent, and a depth over all of them', () => {
    const { layout } = laid(stateOf(open(0, 'a'), open(1, 'b', 'a', 'x'), open(2, 'c', 'b', 'x')));
    expect(layout.lanes.map((lane) => lane.agent)).toEqual([null, 'x']);
    expect([layout.items.get('c')!.depth, layout.items.get('c')!.row]).toEqual([2, 1]);
  });

  it('leaves every span where it is while more come', () => {
    const state = stateOf(open(0, 'a'), open(1, 'b', 'a'));
    const layout = new Layout();
    layout.update(state);
    const before = [...layout.items].map(([id, item]) => [id, item.row]);
    foldEvents(state, EventTable.from(arrowOf([close(2, 'b'), open(3, 'c', 'a'), open(3, 'd', 'a')].map((event, i) => ({ seq: 2 + i, ...event })))));
    layout.update(state);
    expect([...layout.items].slice(0, 2).map(([id, item]) => [id, item.row])).toEqual(before);
    expect([layout.items.get('c')!.row, layout.items.get('d')!.row]).toEqual([1, 2]);
  });

  it('marks what the duration hangs on, backwards from the end', () => {
    const { layout } = laid(stateOf(
      open(0, 'root'), open(1, 'first', 'root'), close(4, 'first'), open(1, 'beside', 'root'), close(2, 'beside'),
      open(5, 'last', 'root'), close(9, 'last'), close(10, 'root'), at(10, 'status', { status: 'finished' }),
    ));
    expect([...layout.items.values()].filter((item) => item.critical).map((item) => item.span.id)).toEqual(['root', 'first', 'last']);
    expect(layout.chain(10).map((span) => span.id)).toEqual(['root', 'last']);
  });

  it('knows when a person was waited for, and the queue', () => {
    const state = stateOf(
      at(0, 'meta', {}), at(0, 'status', { status: 'starting' }), at(2000, 'status', { status: 'running' }),
      at(3000, 'lock', { lid: 'l', name: 'ok?' }), at(8000, 'lease', { lid: 'l', by: 'bob', result: 1 }), at(9000, 'lock', { lid: 'm', name: 'more?' }),
    );
    const { layout } = laid(state);
    expect(layout.waits.map(({ name, kind, from, to }) => [name, kind, from, to])).toEqual([
      ['queued', 'queue', 0, 2000], ['ok?', 'lock', 3000, 8000], ['more?', 'lock', 9000, null],
    ]);
  });

  it('takes 5,000 spans in a moment', () => {
    const events = Array.from({ length: 5000 }, (_, i) => [open(i, `s${i}`, i % 10 ? `s${i - (i % 10)}` : null, `agent ${i % 4}`), close(i + 20, `s${i}`)]).flat();
    const state = stateOf(...events.sort((a, b) => a.ts! - b.ts!));
    const layout = new Layout();
    const begun = performance.now();
    layout.update(state);
    expect(layout.ordered.length).toBe(5000);
    expect(performance.now() - begun).toBeLessThan(400);
  });
});

describe('axes', () => {
  it.each([
    [0, 1, 4, [0, 0.25, 0.5, 0.75, 1]],
    [0, 0.9, 4, [0, 0.25, 0.5, 0.75]],
    [-3, 12, 5, [0, 5, 10]],
    [100, 100, 4, [100]],
    [0, 1e6, 5, [0, 200_000, 400_000, 600_000, 800_000, 1e6]],
  ])('from %f to %f', (low, high, count, found) => {
    expect(ticks(low, high, count)).toEqual(found);
  });

  it('count times in units that people know', () => {
    expect(timeTicks(0, 100_000, 4)).toEqual([0, 30_000, 60_000, 90_000]);
    expect(timeTicks(0, 7_200_000, 4)).toEqual([0, 1_800_000, 3_600_000, 5_400_000, 7_200_000]);
    expect([timeLabel(0, 1), timeLabel(250, 50), timeLabel(1500, 500), timeLabel(90_000, 30_000), timeLabel(7_265_000, 60_000), timeLabel(-5000, 1000)])
      .toEqual(['0', '250 ms', '1.5 s', '1:30', '2:01:05', '−5 s']);
  });

  it('begin and end at round values', () => {
    expect([rounded(0.1, 96.1, 4), rounded(-3, 12, 4), rounded(0, 100, 4)]).toEqual([[0, 100], [-5, 15], [0, 100]]);
  });

  it('count powers of ten', () => {
    expect(logTicks(0.5, 2000)).toEqual([1, 10, 100, 1000]);
    expect(logTicks(2, 60)).toEqual([2, 5, 10, 20, 50]);
  });

  it.each([[0, '0'], [1234, '1234'], [12_345, '12.35k'], [0.00012345, '0.0001234'], [1.5e-7, '1.5e-7'], [3e9, '3G'], [-2.5e6, '-2.5M']])('write %f as %s', (value, words) => {
    expect(short(value)).toBe(words);
  });
});

describe('metrics', () => {
  it('draw at most four points a pixel, with every peak', () => {
    const points = Array.from({ length: 50_000 }, (_, x) => ({ x, y: x === 31_234 ? 1000 : Math.sin(x), t: 0 }));
    const path = pathOf({ points, x: (x) => x / 250, y: (y) => y });
    expect(path.split(/[ML]/).length - 1).toBeLessThanOrEqual(4 * 200);
    expect(path).toContain(' 1000.0');
  });

  it('are copied as CSV', () => {
    const metric = (name: string, stepped: boolean): Parameters<typeof csv>[0] extends Iterable<infer M> ? M : never =>
      ({ name, unit: stepped ? null : 'MiB', stepped, points: [{ x: 3, y: 0.5, t: 0 }] });
    expect(csv([metric('a, "b"', true), metric('c', false)])).toBe(
      'name,step,time,value,unit\n"a, ""b""",3,1970-01-01T00:00:00.000Z,0.5,\nc,,1970-01-01T00:00:00.000Z,0.5,MiB',
    );
  });
});

describe('a replay', () => {
  afterEach(() => vi.useRealTimers());

  const times = [0, 100, 200, 300, 20_000, 20_100];
  function replayed(end: AbortController): { replay: ReplaySource; transport: Scripted } {
    const events = times.map((ms, seq) => ({ seq, ts: 1_000_000 + ms }));
    const transport = new Scripted((request) => {
      const [path = '', words] = request.path.split('?');
      const query = new URLSearchParams(words);
      if (path.endsWith('/clock')) return reply(200, JSON.stringify({ seq: events.map((e) => e.seq), ts: events.map((e) => e.ts) }));
      if (!path.endsWith('/window') && !path.endsWith('/overview')) return reply(200, JSON.stringify({ status: 'finished', last_seq: 5, result: 'x', started: '', locks: [] }));
      const upto = Number(query.get('upto') ?? 5);
      const found = events.filter((event) => event.seq <= upto).slice(Number(query.get('offset') ?? 0));
      return reply(200, arrowOf(found), { 'x-total': String(upto + 1), 'x-offset': query.get('offset') ?? '0', 'x-last-seq': String(upto) });
    });
    const clock = { seq: events.map((e) => e.seq), ts: events.map((e) => e.ts) };
    return { replay: new ReplaySource(new Source(transport), 'r', clock, end.signal), transport };
  }

  /** Everything that has come by each of these moments after pressing play. */
  async function comes(replay: ReplaySource, end: AbortController, moments: number[]): Promise<(number | string)[][]> {
    const got: (number | string)[] = [];
    void (async () => {
      for await (const item of replay.follow('r', 0, end.signal)) {
        if ('events' in item) got.push(...[...item.events].map((event) => event.seq));
        else got.push('end');
      }
    })();
    replay.play();
    const found = [];
    let passed = 0;
    for (const moment of moments) {
      await vi.advanceTimersByTimeAsync(moment - passed);
      passed = moment;
      found.push([...got]);
    }
    return found;
  }

  it('lets events come when their time comes', async () => {
    vi.useFakeTimers();
    const end = new AbortController();
    const { replay } = replayed(end);
    replay.skip.set(false);
    expect(await comes(replay, end, [60, 150, 500, 19_000, 21_000])).toEqual([[], [1], [1, 2, 3], [1, 2, 3], [1, 2, 3, 4, 5, 'end']]);
    expect([replay.playing.get(), replay.position.get()]).toEqual([false, replay.length]);
    end.abort();
  });

  it('is as quick as asked, and skips silence', async () => {
    vi.useFakeTimers();
    const end = new AbortController();
    const { replay } = replayed(end);
    expect(await comes(replay, end, [500, 1500])).toEqual([[1, 2, 3], [1, 2, 3, 4, 5, 'end']]);
    end.abort();
    const other = new AbortController();
    const quick = replayed(other).replay;
    quick.skip.set(false);
    quick.speed.set(100);
    expect(await comes(quick, other, [400])).toEqual([[1, 2, 3, 4, 5, 'end']]);
    other.abort();
  });

  it('shows nothing of what is still to come', async () => {
    const end = new AbortController();
    const { replay } = replayed(end);
    replay.seek(10_000);
    replay.seek(250);
    expect((await replay.overview('r')).lastSeq).toBe(2);
    expect((await replay.window('r', {}, 0, 100)).events.length).toBe(3);
    expect(await replay.run('r')).toMatchObject({ status: 'running', result: null, last_seq: 2 });
    expect(replay.now()).toBe(1_000_250);
    replay.seek(replay.length);
    expect(replay.restarted.get()).toBe(1);
    end.abort();
  });

  it('begins views anew when time goes back, not when it goes a little ahead', () => {
    const end = new AbortController();
    const { replay } = replayed(end);
    replay.seek(300);
    expect(replay.restarted.get()).toBe(0);
    replay.seek(100);
    expect(replay.restarted.get()).toBe(1);
    end.abort();
  });

  it('lets nobody act', async () => {
    const end = new AbortController();
    const { replay, transport } = replayed(end);
    for (const act of [replay.answer(), replay.cancel(), replay.remove(), replay.rerun()]) await expect(act).rejects.toBeInstanceOf(Refusal);
    expect([transport.asked, replay.readOnly]).toEqual([[], 'this is a replay']);
    end.abort();
  });
});

