import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Scripted, arrowOf, reply } from '../../sources/_testing.ts';
import { type Event, EventTable } from '../../sources/events.ts';
import { Source } from '../../sources/source.ts';
import type { Reply, Request } from '../../sources/transport.ts';
import { Unreachable } from '../../sources/transport.ts';
import { Heights } from './heights.ts';
import { ListModel, PAGE, type Tail, VirtualList, matcher } from '../lists.ts';

/** A run on the gateway's side: what `/window` answers of the events it has. */
class Gateway {
  events: Partial<Event>[] = [];
  asked: URLSearchParams[] = [];

  add(count: number, make: (seq: number) => Partial<Event> = () => ({})): void {
    for (let i = 0; i < count; i++) {
      const seq = this.events.length;
      this.events.push({ seq, payload: JSON.stringify(`line ${seq}`), ...make(seq) });
    }
  }

  answer(request: Request): Reply {
    const query = new URLSearchParams(request.path.split('?')[1]);
    this.asked.push(query);
    const fits = matcher({ kinds: query.getAll('kind') as Event['kind'][], agents: query.getAll('agent'), search: query.get('search') ?? '' });
    const upto = Number(query.get('upto') ?? Infinity);
    const found = this.events.filter((event) => event.seq! <= upto && fits({ kind: 'stdout', agent: null, ...event } as Event));
    const [asked, limit] = [Number(query.get('offset')), Number(query.get('limit'))];
    const offset = asked < 0 ? Math.max(0, found.length + asked) : asked;
    const last = Math.min(upto, this.events.length - 1);
    return reply(200, arrowOf(found.slice(offset, offset + limit)), {
      'x-offset': String(offset), 'x-total': String(found.length), 'x-last-seq': String(last),
    });
  }

  /** The newest events, as they come live. */
  table(from: number, to = this.events.length): EventTable {
    return EventTable.from(arrowOf(this.events.slice(from, to)));
  }
}

class Live implements Tail {
  say: (events: EventTable) => void = () => undefined;

  onEvents(listener: (events: EventTable) => void): void {
    this.say = listener;
  }
}

function open(gateway: Gateway, filter = {}, start: 'first' | 'last' = 'first'): { model: ListModel; live: Live; end: AbortController; transport: Scripted } {
  const end = new AbortController();
  const live = new Live();
  const transport = new Scripted((request) => gateway.answer(request));
  const model = new ListModel(new Source(transport), 'r', filter, live, end.signal, start);
  return { model, live, end, transport };
}

const ready = (model: ListModel): Promise<void> => vi.waitUntil(() => model.ready.get()).then(() => undefined);
const seqs = (model: ListModel): (number | undefined)[] => Array.from({ length: model.total }, (_, i) => model.at(i)?.seq);

describe('a list of events', () => {
  it('counts what fits, has the first page, and asks for others when somebody looks', async () => {
    const gateway = new Gateway();
    gateway.add(1000);
    const { model } = open(gateway);
    await ready(model);
    expect([model.total, model.lastSeq, model.at(0)?.seq, model.at(PAGE - 1)?.seq, model.at(PAGE)]).toEqual([1000, 999, 0, 199, undefined]);
    await vi.waitUntil(() => {
      model.want(700, 720);
      return model.at(710);
    });
    expect(model.at(710)?.payload).toBe('"line 710"');
  });

  it('fetches the neighbours of what is in sight, once that is here', async () => {
    const gateway = new Gateway();
    gateway.add(1000);
    const { model } = open(gateway);
    await ready(model);
    model.want(0, 20);
    await vi.waitUntil(() => model.at(PAGE));
    expect(gateway.asked.map((query) => query.get('offset'))).toEqual(['0', '200']);
  });

  it('gives up on pages that nobody looks at any more', async () => {
    const gateway = new Gateway();
    gateway.add(5000);
    const { model, transport } = open(gateway);
    await ready(model);
    model.want(2000, 2010);
    model.want(4000, 4010);
    const given = transport.asked.find((request) => request.path.includes('offset=2000'));
    expect(given?.signal?.aborted).toBe(true);
    await vi.waitUntil(() => model.at(4000));
  });

  it('appends what comes live, each event once, whatever the page and the stream both have', async () => {
    const gateway = new Gateway();
    gateway.add(50);
    const { model, live } = open(gateway, {}, 'last');
    gateway.add(10);
    live.say(gateway.table(45)); // while the first answer is on its way
    await ready(model);
    gateway.add(5);
    live.say(gateway.table(58)); // overlaps
    expect(seqs(model)).toEqual(Array.from({ length: 65 }, (_, i) => i));
  });

  it('counts anew where live events have left a hole, and loses nothing', async () => {
    const gateway = new Gateway();
    gateway.add(10);
    const { model, live } = open(gateway);
    await ready(model);
    gateway.add(20);
    live.say(gateway.table(25));
    gateway.add(5);
    live.say(gateway.table(30));
    await vi.waitUntil(() => model.total === 35);
    expect(seqs(model)).toEqual(Array.from({ length: 35 }, (_, i) => i));
  });

  it('holds live events to the filter that the gateway has for the others', async () => {
    const gateway = new Gateway();
    gateway.add(10, (seq) => ({ kind: seq % 2 ? 'stdout' : 'metric', agent: seq % 3 ? 'a' : null }));
    const { model, live } = open(gateway, { kinds: ['stdout'], agents: [''] });
    await ready(model);
    gateway.add(10, (seq) => ({ kind: seq % 2 ? 'stdout' : 'metric', agent: seq % 3 ? 'a' : null }));
    live.say(gateway.table(10));
    expect(seqs(model)).toEqual([3, 9, 15]);
    expect(model.lastSeq).toBe(19);
  });

  it('keeps the rows of before until another filter is answered, and drops answers to an earlier one', async () => {
    const gateway = new Gateway();
    gateway.add(100);
    const { model } = open(gateway);
    await ready(model);
    model.setFilter({ search: 'LINE 5' });
    expect([model.ready.get(), model.total]).toEqual([false, 100]);
    model.setFilter({ search: 'line 42' });
    await ready(model);
    expect(seqs(model)).toEqual([42]);
  });

  it('stops at upto, live too', async () => {
    const gateway = new Gateway();
    gateway.add(20);
    const { model, live } = open(gateway, { upto: 11 });
    await ready(model);
    live.say(gateway.table(12));
    expect([model.total, model.lastSeq]).toEqual([12, 11]);
  });

  it('reads all rows in order, also those that are not here', async () => {
    const gateway = new Gateway();
    gateway.add(12_000);
    const { model, end } = open(gateway);
    await ready(model);
    const found: number[] = [];
    for await (const event of model.read(0, model.total, end.signal)) found.push(event.seq);
    expect(found).toEqual(Array.from({ length: 12_000 }, (_, i) => i));
  });

  it('keeps few pages, and fetches one again that it let go', async () => {
    const gateway = new Gateway();
    gateway.add(80 * PAGE);
    const { model, live } = open(gateway);
    await ready(model);
    const from = gateway.events.length;
    gateway.add(70 * PAGE);
    live.say(gateway.table(from));
    expect([model.at(0), model.at(model.total - 1)?.seq]).toEqual([undefined, 150 * PAGE - 1]);
    await vi.waitUntil(() => {
      model.want(0, 10);
      return model.at(0);
    });
  });

  it('says why it cannot be read, tries again while nothing answers, and stops with its signal', async () => {
    const gateway = new Gateway();
    gateway.add(3);
    let down = 1;
    const end = new AbortController();
    const transport = new Scripted((request) => (down-- > 0 ? Promise.reject(new Unreachable('away')) : gateway.answer(request)));
    const model = new ListModel(new Source(transport), 'r', {}, null, end.signal);
    await vi.waitUntil(() => model.failure.get());
    await ready(model);
    expect([model.failure.get(), model.total]).toEqual([null, 3]);
    end.abort();
    model.want(0, 3);
    expect(transport.asked.length).toBe(2);
  });

  it.each([
    ['say "hi"', true],
    ['SAY', true],
    ['two\nlines', true],
    ['absent', false],
  ])('finds text as it stands or as JSON has it: %s', (search, fits) => {
    const event = { kind: 'stdout', agent: null, payload: JSON.stringify('I say "hi" on two\nlines') } as Event;
    expect(matcher({ search })(event)).toBe(fits);
  });
});

describe('heights', () => {
  it('find the row at a place and the place of a row, with many rows and few that differ', () => {
    const heights = new Heights(20);
    for (const index of [3, 300, 99_999, 1_000_000]) heights.set(index, 50);
    expect([heights.top(4), heights.top(1_000_001)]).toEqual([110, 20 * 1_000_001 + 4 * 30]);
    for (const index of [0, 3, 4, 255, 256, 300, 301, 50_000, 99_999, 1_000_000, 1_999_999]) {
      const at = heights.at(heights.top(index) + 7, 2_000_000);
      expect(at).toEqual({ index, offset: 7 });
    }
    expect(heights.at(1e12, 2_000_000).index).toBe(1_999_999);
    expect([heights.set(3, 50), heights.set(3, 20), heights.top(4)]).toEqual([false, true, 80]);
    heights.clear();
    expect(heights.top(1_000_000)).toBe(20_000_000);
  });
});

describe('a virtual list', () => {
  let frames: FrameRequestCallback[] = [];
  const flush = (): void => {
    const due = frames;
    frames = [];
    for (const frame of due) frame(0);
  };

  beforeEach(() => {
    frames = [];
    vi.stubGlobal('requestAnimationFrame', (frame: FrameRequestCallback) => frames.push(frame));
    vi.stubGlobal('cancelAnimationFrame', () => undefined);
    vi.stubGlobal('ResizeObserver', class {
      observe = (): void => undefined;
      disconnect = (): void => undefined;
    });
    // jsdom lays nothing out
    vi.spyOn(HTMLElement.prototype, 'clientHeight', 'get').mockReturnValue(200);
    vi.spyOn(HTMLElement.prototype, 'clientWidth', 'get').mockReturnValue(300);
  });
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.restoreAllMocks();
    document.body.replaceChildren();
  });

  function list(total: () => number, role: 'log' | 'grid' = 'grid'): { list: VirtualList; end: AbortController; drawn: number[] } {
    const end = new AbortController();
    const drawn: number[] = [];
    const made = new VirtualList(document.body, {
      label: 'Rows', role, rowHeight: 20, total,
      draw: (row, index) => {
        drawn.push(index);
        row.textContent = `row ${index}`;
        return true;
      },
    }, end.signal);
    flush();
    return { list: made, end, drawn };
  }
  const rows = (): number[] => [...document.querySelectorAll<HTMLElement>('.kl-list-row')].map((row) => Number(row.dataset['row']));

  it('has elements only for the rows near those in sight, in order, and draws each once', () => {
    const { list: made, drawn } = list(() => 100_000);
    expect(rows()).toEqual(Array.from({ length: 23 }, (_, i) => i));
    made.element.scrollTop = 30_000;
    made.element.dispatchEvent(new globalThis.Event('scroll'));
    flush();
    expect([rows()[0], rows().length]).toEqual([1488, 35]);
    expect(rows()).toEqual([...rows()].sort((a, b) => a - b));
    made.refresh();
    flush();
    expect(drawn.length).toBe(23 + 35);
  });

  it('goes to every row of a list that is taller than an element can be', () => {
    const total = 5_000_000;
    const { list: made } = list(() => total);
    const space = document.querySelector<HTMLElement>('.kl-list-space')!;
    expect(space.style.height).toBe('15000000px');
    for (const index of [0, 1, 2_500_000, total - 1, 7]) {
      made.show(index, 'middle');
      flush();
      expect(rows()).toContain(index);
    }
    // the scroll bar is dragged to half of its way
    made.element.scrollTop = (15_000_000 - 200) / 2;
    made.element.dispatchEvent(new globalThis.Event('scroll'));
    flush();
    expect(Math.abs(rows()[0]! - total / 2)).toBeLessThan(40);
  });

  it('stays at the end while it follows, until somebody scrolls up', () => {
    let total = 1000;
    const { list: made } = list(() => total);
    made.follow(true);
    flush();
    expect(rows().at(-1)).toBe(999);
    total = 1500;
    made.refresh();
    flush();
    expect(rows().at(-1)).toBe(1499);
    made.element.dispatchEvent(new WheelEvent('wheel', { deltaY: -10 }));
    expect(made.following.get()).toBe(false);
    total = 2000;
    made.refresh();
    flush();
    expect(made.inSight()).toEqual([1490, 1499]);
  });

  it('moves the current row by keys, and names it to screen readers', () => {
    const { list: made } = list(() => 500);
    const key = (name: string): void => {
      made.element.dispatchEvent(new KeyboardEvent('keydown', { key: name, cancelable: true }));
      flush();
    };
    key('ArrowDown');
    key('ArrowDown');
    expect(made.current.get()).toBe(1);
    key('PageDown');
    expect(made.current.get()).toBe(10);
    key('End');
    expect(made.current.get()).toBe(499);
    const active = document.getElementById(made.element.getAttribute('aria-activedescendant')!)!;
    expect([active.getAttribute('aria-rowindex'), active.getAttribute('aria-selected'), active.textContent]).toEqual(['500', 'true', 'row 499']);
    expect(made.element.getAttribute('aria-rowcount')).toBe('500');
    key('Home');
    expect(made.current.get()).toBe(0);
  });

  it('keeps the row where a selection began, however far one scrolls', () => {
    const { list: made } = list(() => 10_000, 'log');
    const first = document.querySelector('[data-row="2"]')!.firstChild!;
    document.getSelection()!.setBaseAndExtent(first, 0, document.querySelector('[data-row="5"]')!.firstChild!, 1);
    made.element.scrollTop = 50_000;
    made.element.dispatchEvent(new globalThis.Event('scroll'));
    flush();
    expect(rows().slice(0, 3)).toEqual([2, 5, 2488]);
    expect(document.getSelection()!.anchorNode).toBe(first);
    document.getSelection()!.removeAllRanges();
    made.refresh();
    flush();
    expect(rows()[0]).toBe(2488);
  });

  it('leaves nothing behind when its signal ends', () => {
    const { end } = list(() => 10);
    end.abort();
    expect(document.body.childElementCount).toBe(0);
  });
});
