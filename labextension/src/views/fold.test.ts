import { describe, expect, it } from 'vitest';
import { arrowOf } from '../sources/_testing.ts';
import { type Event, EventTable } from '../sources/events.ts';
import { type RunState, emptyState, ended, failed, foldEvents } from './fold.ts';

type Said = [kind: Event['kind'], payload: unknown, more?: Partial<Event>];

/** A state after these events; `seq` and time count up by themselves. */
function after(...said: Said[]): RunState {
  const state = emptyState();
  say(state, ...said);
  return state;
}

function say(state: RunState, ...said: Said[]): void {
  foldEvents(state, tableOf(state.lastSeq + 1, said));
}

function tableOf(first: number, said: Said[]): EventTable {
  const events = said.map(([kind, payload, more], i) => {
    const seq = first + i;
    return { seq, ts: 1000 * seq, kind, payload: JSON.stringify(payload), ...more };
  });
  return EventTable.from(arrowOf(events));
}

function timed(work: () => void): number {
  const begun = performance.now();
  work();
  return performance.now() - begun;
}

const started: Said[] = [['meta', { flow: 'f' }], ['inputs', { n: 1 }], ['status', { status: 'running' }]];

describe('a run that is folded', () => {
  it('has times, a status with its reason, and an end', () => {
    const state = after(...started);
    expect([state.status, state.started, state.running, state.ended]).toEqual(['running', 0, 2000, null]);
    say(state, ['status', { status: 'running', cancelling: 'cancelled', reason: 'cancelled by ada' }]);
    expect([state.cancelling, state.reason]).toEqual(['cancelled', 'cancelled by ada']);
    say(state, ['status', { status: 'cancelled', reason: 'cancelled by ada' }]);
    expect([state.status, state.cancelling, state.ended, ended(state), failed(state)]).toEqual(['cancelled', null, 4000, true, true]);
    expect([state.events, state.lastSeq, state.lastTs]).toEqual([5, 4, 4000]);
  });

  it('keeps of each bar the last value, by agent and name', () => {
    const bar = (value: number, name: string | null, label = 'x'): unknown => ({ value, total: 10, label, name });
    const state = after(
      ...started,
      ['progress', bar(1, null)], ['progress', bar(1, 'a')], ['progress', bar(2, 'a'), { agent: 'critic' }],
      ['progress', bar(5, null, 'the "name":"a" trap')], ['progress', bar(7, 'a')],
    );
    const bars = [...state.bars.values()].map(({ name, agent, value, since }) => [name, agent, value, since]);
    // the first time is that of the table it was heard of in: parsing every value only for that would cost too much
    expect(bars).toEqual([[null, null, 5, 6000], ['a', null, 7, 7000], ['a', 'critic', 2, 5000]]);
    say(state, ['progress', bar(9, null)]);
    expect([...state.bars.values()][0]).toMatchObject({ value: 9, since: 6000, ts: 8000, label: 'x' });
  });

  it('keeps results, steps and the final one in order, as the log has them', () => {
    const state = after(...started, ['result', { 'text/plain': 'a' }], ['action', 'b', { agent: 'w' }], ['final', { 'application/json': 3 }]);
    expect(state.pieces.map(({ seq, kind, agent, payload }) => [seq, kind, agent, payload])).toEqual([
      [3, 'result', null, '{"text/plain":"a"}'], [4, 'action', 'w', '"b"'], [5, 'final', null, '{"application/json":3}'],
    ]);
  });

  it('lets the oldest payloads go when there is too much of them', () => {
    const state = after(...started);
    const big = 'x'.repeat(4 * 2 ** 20);
    for (let i = 0; i < 10; i++) say(state, ['result', big]);
    expect(state.pieces.map((piece) => piece.payload !== null)).toEqual([false, false, false, ...Array<boolean>(7).fill(true)]);
    expect(state.held).toBeLessThanOrEqual(32 * 2 ** 20);
  });

  it('begins anew with each attempt, and remembers why', () => {
    const state = after(
      ...started, ['result', 'old'], ['progress', { value: 1, total: 2, label: null, name: null }],
      ['metric', { name: 'loss', value: 1, step: 1, unit: null }], ['span', { id: 's', name: 'work', state: 'open', parent: null }],
      ['lock', { lid: 'l', name: 'go', expires: null }], ['error', { type: 'ValueError', message: 'no', traceback: 'tb' }],
      ['status', { status: 'starting', reason: 'attempt 1 ended as error: no; retry 1 of 2' }, { attempt: 2 }],
      ['status', { status: 'running' }, { attempt: 2 }], ['result', 'new', { attempt: 2 }],
    );
    expect([state.attempt, state.pieces.length, state.bars.size, state.metrics.size, state.locks.size]).toEqual([2, 1, 0, 0, 0]);
    expect(state.attempts.map(({ number, reason }) => [number, reason])).toEqual([[1, ''], [2, 'attempt 1 ended as error: no; retry 1 of 2']]);
    expect(state.failures).toMatchObject([{ attempt: 1, type: 'ValueError', traceback: 'tb' }]);
    expect(state.spans.get('s')).toMatchObject({ end: 9000, error: 'attempt 1 ended' });
  });

  it('has spans that nest, whichever half was seen', () => {
    const state = after(
      ...started,
      ['span', { id: 'a', parent: null, name: 'outer', state: 'open', tries: 2 }, { agent: 'w' }],
      ['span', { id: 'b', parent: 'a', name: 'inner', state: 'open' }],
      ['span', { id: 'b', name: 'inner', state: 'closed', duration_s: 1, error: 'KeyError()', rows: 7 }],
      ['span', { id: 'c', name: 'cut', state: 'closed', duration_s: 2.5, error: null }],
    );
    expect(state.spans.get('a')).toEqual({ id: 'a', parent: null, name: 'outer', agent: 'w', start: 3000, end: null, error: null, attributes: { tries: 2 } });
    expect(state.spans.get('b')).toMatchObject({ parent: 'a', start: 4000, end: 5000, error: 'KeyError()', attributes: { rows: 7 } });
    expect(state.spans.get('c')).toMatchObject({ start: 3500, end: 6000 });
  });

  it('forgets the oldest spans that are over when there are very many', () => {
    const spans = (from: number, count: number, state: string): Said[] =>
      Array.from({ length: count }, (_, i): Said => ['span', { id: `s${from + i}`, parent: null, name: 'w', state, duration_s: 1 }]);
    const state = after(...started, ...spans(0, 15_000, 'open'), ...spans(0, 3_000, 'closed'));
    const table = tableOf(state.lastSeq + 1, spans(15_000, 25_000, 'open'));
    const reading = timed(() => {
      for (const event of table) if (event.seq < 0) throw new Error('no such event');
    });
    // looking at all of them at each new one took a hundred times as long
    expect(timed(() => foldEvents(state, table))).toBeLessThan(Math.max(150, 12 * reading));
    expect([state.spans.size <= 20_000, state.spans.has('s0'), state.spans.has('s39999')]).toEqual([true, false, true]);
  });

  it('has metrics over steps or time, bounded, with every peak', () => {
    const state = after(...started, ['metric', { name: 'mem', value: 80, step: null, unit: 'MiB' }], ['metric', { name: 'mem', value: null }]);
    expect(state.metrics.get('mem')).toEqual({ name: 'mem', unit: 'MiB', stepped: false, points: [{ x: 3000, y: 80, t: 3000 }] });
    for (let part = 0; part < 20; part++) {
      say(state, ...Array.from({ length: 1000 }, (_, i): Said => ['metric', { name: 'loss', value: part === 3 && i === 517 ? 99 : i % 3, step: part * 1000 + i }]));
    }
    const { points } = state.metrics.get('loss')!;
    expect(points.length).toBeLessThanOrEqual(4096);
    expect(points.find((point) => point.x === 3517)?.y).toBe(99);
    expect(points.map((point) => point.x)).toEqual(points.map((point) => point.x).sort((a, b) => a - b));
  });

  it('knows open locks, who answered, agents and files', () => {
    const state = after(
      ...started, ['agent', { agent: { name: 'critic', role: 'doubts' } }, { agent: 'critic' }],
      ['lock', { lid: 'l1', name: 'approval', data: 1, expires: 12.5 }], ['lock', { lid: 'l2', name: 'title', expires: null }],
      ['lease', { lid: 'l1', result: true, by: 'ada' }], ['upload', { files: [{ path: 'out/a.csv', size: 3, last_modified: 1 }] }],
    );
    expect([...state.locks.keys()]).toEqual(['l2']);
    expect(state.answers).toMatchObject([{ lid: 'l1', name: 'approval', by: 'ada', expired: false, expires: 12_500, seq: 4, closedSeq: 6, result: true }]);
    expect(state.agents.get('critic')).toEqual({ name: 'critic', role: 'doubts' });
    expect([...state.files.keys()]).toEqual(['out/a.csv']);
    say(state, ['status', { status: 'lost', reason: 'its Runner died' }]);
    expect(state.locks.size).toBe(0);
  });

  it('takes whatever is no object as nothing', () => {
    const odd: Event['kind'][] = ['status', 'error', 'lock', 'lease', 'metric', 'span', 'agent', 'upload', 'progress'];
    const state = after(...started, ...odd.flatMap((kind): Said[] => [[kind, null], [kind, [1]], [kind, { status: 3, files: 2, agent: 'x', value: 'y' }]]));
    expect([state.status, state.locks.size, state.spans.size, state.metrics.size, state.bars.size]).toEqual(['running', 0, 0, 0, 0]);
    expect(state.failures.length).toBe(3);
  });

  it('takes 100,000 events in less than 150 ms', () => {
    const kinds: Said[] = [
      ['stdout', 'a line of output that is some eighty characters long, as lines of a console tend to be'],
      ['metric', { name: 'loss', value: 0.5, step: 3, unit: null }],
      ['progress', { value: 3, total: 10, label: 'reading', name: null }],
      ['progress', { value: 3, total: 10, label: 'reading', name: 'chunk' }, { agent: 'reader' }],
      ['span', { id: 'a', parent: null, name: 'outer', state: 'open', tries: 2 }],
      ['stdout', 'another line'],
      ['result', { 'text/plain': 'a piece of text' }],
      ['log', { level: 'INFO', logger: 'x', message: 'a message', where: 'a.py:1' }],
    ];
    const table = EventTable.from(arrowOf(Array.from({ length: 100_000 }, (_, seq) => {
      const [kind, payload, more] = kinds[seq % kinds.length]!;
      return { seq, ts: seq, kind, payload: JSON.stringify(payload), ...more };
    })));
    const best = (work: () => void): number => Math.min(...[1, 2, 3, 4, 5].map(() => timed(work)));
    const folding = best(() => foldEvents(emptyState(), table));
    // on a machine that is busy with other things, a few times of what reading costs
    const reading = best(() => {
      for (const event of table) if (event.seq < 0) throw new Error('no such event');
    });
    expect(folding).toBeLessThan(Math.max(150, 5 * reading));
  });
});
