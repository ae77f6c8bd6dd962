// The events of a run that fit a filter, as rows 0 … total-1 of a list. Pages are fetched when
// somebody looks at them; what comes live is appended. Both count the same thing: `total` is how
// many events up to `lastSeq` fit, so an event is counted once, wherever it was heard of first.

import type { Event, EventTable } from '../../sources/events.ts';
import { type Filter, type Source, type Window, pause } from '../../sources/source.ts';
import { Unreachable, aborted } from '../../sources/transport.ts';
import { Value } from '../../sources/value.ts';

/** Rows of one request. */
export const PAGE = 200;
/** Pages kept; the others are fetched again when they are looked at. */
const KEPT = 60;
/** Pages are asked for at most this often while one scrolls far. */
const RUSH_MS = 70;
/** Rows of one request where everything is read. */
const BLOCK = 5000;

/** Whoever follows the run: a RunStore. */
export interface Tail {
  /** Call with each table of new events, in order, until the signal is aborted. */
  onEvents(listener: (events: EventTable) => void, signal: AbortSignal): void;
}

interface Page {
  rows: (Event | undefined)[];
  used: number;
}

export class ListModel {
  /** Counts up whenever rows were added or have arrived. */
  readonly changed = new Value(0);
  /** What went wrong at the last request, until one succeeds. */
  readonly failure = new Value<Error | null>(null);
  /** False until the first answer for the filter. */
  readonly ready = new Value(false);
  total = 0;
  lastSeq = -1;

  private pages = new Map<number, Page>();
  private asked = new Map<number, AbortController>();
  private held: EventTable[] = [];
  private counting: AbortController | null = null;
  private fits: (event: Event) => boolean;
  private tick = 0;
  private fetched = -Infinity;
  private later: ReturnType<typeof setTimeout> | undefined;
  /** Counts up with each filter: answers to an earlier one are thrown away. */
  private epoch = 0;

  constructor(
    private readonly source: Source,
    private readonly runId: string,
    private current: Filter,
    tail: Tail | null,
    private readonly signal: AbortSignal,
    private readonly start: 'first' | 'last' = 'first',
  ) {
    this.fits = matcher(current);
    tail?.onEvents((events) => this.hear(events), signal);
    signal.addEventListener('abort', () => this.stop(), { once: true });
    void this.count();
  }

  get filter(): Filter {
    return this.current;
  }

  /** Look for other events. The rows of before stay until the first answer is here. */
  setFilter(filter: Filter): void {
    this.stop();
    this.current = filter;
    this.fits = matcher(filter);
    this.epoch++;
    this.held = [];
    this.ready.set(false);
    void this.count();
  }

  /** Ask again now for what could not be had. */
  retry(): void {
    this.failure.set(null);
    if (!this.counting && (!this.ready.get() || this.held.length > 0)) void this.count();
    this.said();
  }

  /** A row, where it is here. */
  at(index: number): Event | undefined {
    const page = this.pages.get(Math.floor(index / PAGE));
    if (page) page.used = ++this.tick;
    return page?.rows[index % PAGE];
  }

  /** These rows are looked at: fetch them and, when they are here, their neighbours; give up on all others. */
  want(first: number, last: number): void {
    if (!this.ready.get() || this.signal.aborted) return;
    const [from, to] = [Math.floor(Math.max(0, first) / PAGE), Math.floor(Math.max(0, last) / PAGE)];
    for (const [page, request] of this.asked) {
      if (page < from - 1 || page > to + 1) {
        request.abort();
        this.asked.delete(page);
      }
    }
    clearTimeout(this.later);
    if (!this.missing(from) && !this.missing(to)) {
      // what is in sight is here: now the neighbours
      for (const page of [to + 1, from - 1]) if (this.missing(page)) this.fetch(page);
      return;
    }
    // a scroll bar that is dragged passes pages that nobody will see: then wait for it to rest
    const wait = this.fetched + RUSH_MS - performance.now();
    if (wait > 0) {
      this.later = setTimeout(() => this.want(first, last), wait);
      return;
    }
    for (let page = from; page <= to; page++) if (this.missing(page)) this.fetch(page);
  }

  /** How many rows come up to the event `seq`; the row of the event itself is one less. */
  async countUpTo(seq: number, signal: AbortSignal): Promise<number> {
    if (seq < 0) return 0;
    const upto = Math.min(seq, this.current.upto ?? Infinity);
    return (await this.source.window(this.runId, { ...this.current, upto }, 0, 0, signal)).total;
  }

  /** A row, waited for; undefined where there is none. */
  async row(index: number, signal: AbortSignal): Promise<Event | undefined> {
    for await (const event of this.read(index, index + 1, signal)) return event;
    return undefined;
  }

  /** Rows `from` … `to`-1 in order, whether they are here or not. */
  async *read(from: number, to: number, signal: AbortSignal): AsyncGenerator<Event> {
    for (let offset = from; offset < to; ) {
      const here = this.at(offset);
      if (here) {
        yield here;
        offset++;
        continue;
      }
      const limit = Math.min(BLOCK, to - offset);
      const block = await this.source.window(this.runId, this.current, offset, limit, signal);
      if (block.events.length === 0) return;
      yield* block.events;
      offset += block.events.length;
    }
  }

  private stop(): void {
    clearTimeout(this.later);
    this.counting?.abort();
    this.counting = null;
    for (const request of this.asked.values()) request.abort();
    this.asked.clear();
  }

  private hear(events: EventTable): void {
    if (events.length === 0) return;
    if (!this.ready.get() || this.counting || this.held.length > 0) {
      this.held.push(events);
      return;
    }
    if (!this.append(events)) {
      this.held.push(events);
      void this.count();
    }
  }

  /** False where events before these are missing: then somebody has to count anew. */
  private append(events: EventTable): boolean {
    if (events.seq(0) > this.lastSeq + 1) return false;
    const { upto = Infinity } = this.current;
    for (let row = 0; row < events.length; row++) {
      const seq = events.seq(row);
      if (seq <= this.lastSeq) continue;
      if (seq > upto) break;
      const event = events.at(row);
      if (this.fits(event)) this.put(this.total++, event);
      this.lastSeq = seq;
    }
    this.said();
    return true;
  }

  /** How many fit, up to where: at the start, and where the live events have left a hole. */
  private async count(): Promise<void> {
    const controller = new AbortController();
    this.counting = controller;
    const offset = this.start === 'last' || this.ready.get() ? -PAGE : 0;
    const answer = await this.asking(controller, () =>
      this.source.window(this.runId, this.current, offset, PAGE, controller.signal),
    );
    if (this.counting !== controller) return;
    this.counting = null;
    if (!answer) return;
    if (!this.ready.get()) {
      this.pages.clear();
      this.total = 0;
      this.lastSeq = -1;
    }
    this.take(answer);
    if (answer.lastSeq > this.lastSeq) [this.lastSeq, this.total] = [answer.lastSeq, answer.total];
    this.ready.set(true);
    const held = this.held;
    this.held = [];
    for (const [place, events] of held.entries()) {
      if (this.append(events)) continue;
      this.held = held.slice(place);
      void this.count();
      break;
    }
    this.said();
  }

  /** Whether rows of a page are not here. */
  private missing(page: number): boolean {
    const first = page * PAGE;
    if (page < 0 || first >= this.total) return false;
    const rows = this.pages.get(page)?.rows;
    const end = Math.min(PAGE, this.total - first);
    let at = 0;
    while (at < end && rows?.[at] !== undefined) at++;
    return at < end;
  }

  private fetch(page: number): void {
    if (this.asked.has(page)) return;
    const controller = new AbortController();
    this.asked.set(page, controller);
    this.fetched = performance.now();
    void this.load(page, controller);
  }

  private async load(page: number, controller: AbortController): Promise<void> {
    const epoch = this.epoch;
    const answer = await this.asking(controller, () =>
      this.source.window(this.runId, this.current, page * PAGE, PAGE, controller.signal),
    );
    if (this.asked.get(page) === controller) this.asked.delete(page);
    if (!answer || epoch !== this.epoch || controller.signal.aborted) return;
    this.take(answer);
    this.said();
  }

  /** The answer, over broken connections; null where it is not wanted any more or refused. */
  private async asking(controller: AbortController, ask: () => Promise<Window>): Promise<Window | null> {
    const unwanted = (): boolean => controller.signal.aborted;
    for (let tries = 0; ; tries++) {
      if (unwanted()) return null;
      try {
        const answer = await ask();
        this.failure.set(null);
        return answer;
      } catch (error) {
        if (aborted(error) || unwanted()) return null;
        this.failure.set(error instanceof Error ? error : new Error(String(error)));
        if (!(error instanceof Unreachable)) return null;
        await pause(Math.min(5000, 200 * 2 ** tries), controller.signal);
      }
    }
  }

  /** Rows find their places; only counting moves `total`, or a quick stream would be chased page by page. */
  private take(answer: Window): void {
    for (let row = 0; row < answer.events.length; row++) this.put(answer.offset + row, answer.events.at(row));
  }

  private put(index: number, event: Event): void {
    const number = Math.floor(index / PAGE);
    let page = this.pages.get(number);
    if (!page) {
      page = { rows: [], used: 0 };
      this.pages.set(number, page);
      if (this.pages.size > KEPT) this.forget();
    }
    page.used = ++this.tick;
    page.rows[index % PAGE] = event;
  }

  private forget(): void {
    let oldest = -1;
    let used = Infinity;
    for (const [number, page] of this.pages) if (page.used > 0 && page.used < used) [oldest, used] = [number, page.used];
    this.pages.delete(oldest);
  }

  private said(): void {
    this.changed.set(this.changed.get() + 1);
  }
}

/** The filter as the gateway applies it, for events that come live. */
export function matcher(filter: Filter): (event: Event) => boolean {
  const kinds = filter.kinds?.length ? new Set<string>(filter.kinds) : null;
  const agents = filter.agents?.length ? new Set(filter.agents) : null;
  // within a payload, which is JSON, quotes and line ends are escaped
  const texts = [filter.search ?? '', JSON.stringify(filter.search ?? '').slice(1, -1)].map((text) => text.toLowerCase());
  return (event) =>
    (!kinds || kinds.has(event.kind)) &&
    (!agents || agents.has(event.agent ?? '')) &&
    (texts[0] === '' || texts.some((text) => event.payload.toLowerCase().includes(text)));
}
