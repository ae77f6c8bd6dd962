// Which runs a list shows: one page of the gateway's, kept up to date, and still while somebody reads it. No DOM.

import type { Refusal, RunQuery, Source } from '../../sources/source.ts';
import { Value } from '../../sources/value.ts';
import type { RunPage, RunRow } from '../../wire.ts';
import { poll } from '../poll.ts';

/** The longest page that the gateway gives. */
const LONGEST = 1000;

export interface Shown {
  rows: RunRow[];
  /** Rows that are there only because the list holds still: they no longer belong to this page. */
  gone: ReadonlySet<string>;
  /** Runs that fit, on all pages. */
  total: number;
  /** Runs that have come since the list holds still. */
  fresh: number;
  /** From 0. */
  page: number;
  more: boolean;
  /** Something else was asked for, and has not come yet. */
  waiting: boolean;
  problem: string | null;
}

/** What a query narrows the list by, as pairs of name and value; order and page do not. */
export function conditions(query: RunQuery): [string, string][] {
  const { status = [], flow = [], user = [], tag = [], parent, cell, since, until, search } = query;
  const lists = Object.entries({ status, flow, user, tag }).flatMap(([name, values]) => values.map((value): [string, string] => [name, value]));
  const single = Object.entries({ parent, cell, since, until, search }).flatMap(([name, value]): [string, string][] => (value ? [[name, value]] : []));
  return [...lists, ...single];
}

export class RunList {
  readonly shown = new Value<Shown>({
    rows: [], gone: new Set(), total: 0, fresh: 0, page: 0, more: false, waiting: true, problem: null,
  });
  /** Only runs of the last so many milliseconds; unlike `since` it goes with the clock. */
  rollingMs: number | null = null;
  /** When the gateway answered last, in milliseconds since 1970. */
  contact: number | null = null;
  private limit: number;
  private cursors: (string | null)[] = [null];
  private next: string | null = null;
  private extra = 0;
  private latest: RunPage | null = null;
  private totalThen = 0;
  private readonly ask: () => void;

  constructor(
    source: Source,
    private readonly query: Value<RunQuery>,
    /** Somebody is looking at the rows: they must not move. */
    private readonly held: () => boolean,
    signal: AbortSignal,
    limit = 50,
  ) {
    this.limit = limit;
    const refused = (problem: Refusal): void => this.put({ problem: problem.message, waiting: false });
    const answered = (): void => {
      this.contact = Date.now();
    };
    this.ask = poll(source, () => this.path(), (data) => this.take(data as RunPage), signal, { refused, answered });
    let begun = false; // a value is told at once, too
    query.watch(() => begun && this.restart(), signal);
    begun = true;
  }

  get size(): number {
    return this.limit;
  }

  resize(limit: number): void {
    this.limit = limit;
    this.restart();
  }

  /** From the first page on, with what was asked for last. */
  restart(): void {
    this.go([null]);
  }

  forward(): void {
    if (this.next !== null) this.go([...this.cursors, this.next]);
  }

  back(): void {
    if (this.cursors.length > 1) this.go(this.cursors.slice(0, -1));
  }

  /** Let what has come in. */
  catchUp(): void {
    if (this.cursors.length > 1) this.restart();
    else if (this.latest) this.adopt(this.latest);
  }

  /** The rows may move again. */
  released(): void {
    if (this.latest && this.cursors.length === 1 && (this.shown.get().fresh > 0 || this.shown.get().gone.size > 0)) this.adopt(this.latest);
  }

  /** Ask at once: something was done to runs. */
  refresh(): void {
    this.ask();
  }

  private go(cursors: (string | null)[]): void {
    this.cursors = cursors;
    this.extra = 0;
    this.latest = null;
    this.put({ waiting: true, page: cursors.length - 1 });
    this.ask();
  }

  private path(): string {
    const asked = this.query.get();
    const since = this.rollingMs === null ? asked.since : new Date(Math.floor((Date.now() - this.rollingMs) / 60_000) * 60_000).toISOString();
    const parameters = new URLSearchParams(conditions({ ...asked, since }));
    if (asked.sort) parameters.set('sort', asked.sort);
    parameters.set('limit', String(Math.min(LONGEST, this.limit + this.extra)));
    const cursor = this.cursors.at(-1);
    if (cursor) parameters.set('cursor', cursor);
    return `/api/v1/runs?${parameters.toString()}`;
  }

  private take(page: RunPage): void {
    const before = this.shown.get();
    this.latest = page;
    const first = this.cursors.length === 1;
    if (before.waiting || (first && !this.held())) {
      this.adopt(page);
      return;
    }
    const now = new Map(page.items.map((row) => [row.run_id, row]));
    const known = new Set(before.rows.map((row) => row.run_id));
    const gone = before.rows.filter((row) => !now.has(row.run_id)).map((row) => row.run_id);
    const last = page.items.findLastIndex((row) => known.has(row.run_id));
    // what stands behind the last one is of the next page, unless this one has room
    const seen = before.rows.length < this.limit || last < 0 ? page.items : page.items.slice(0, last);
    const unseen = seen.filter((row) => !known.has(row.run_id)).length;
    this.extra = first ? unseen : 0; // rows that they push down are asked for, too
    if (last === page.items.length - 1) this.next = page.next;
    const fresh = first ? unseen : Math.max(0, page.total - this.totalThen);
    this.put({ rows: before.rows.map((row) => now.get(row.run_id) ?? row), gone: new Set(gone), total: page.total, fresh, problem: null });
  }

  private adopt(page: RunPage): void {
    const whole = page.items.length <= this.limit;
    this.extra = 0;
    this.totalThen = page.total;
    this.next = whole ? page.next : null;
    const { page: at } = this.shown.get();
    const shown = { rows: page.items.slice(0, this.limit), gone: new Set<string>(), total: page.total, fresh: 0, page: at };
    this.put({ ...shown, more: page.next !== null || !whole, waiting: false, problem: null });
    if (!whole) this.ask(); // its end, and so the next page, is another one
  }

  private put(some: Partial<Shown>): void {
    this.shown.set({ ...this.shown.get(), ...some });
  }
}
