// A finished run as if it went on now: the same source, on which time is what a player says.

import { EventTable } from '../../sources/events.ts';
import {
  type Connection, type Filter, type Followed, type LockDetail, Refusal, Source, type Window, pause,
} from '../../sources/source.ts';
import { Value } from '../../sources/value.ts';
import type { RunDetail, RunRow } from '../../wire.ts';

/** Silence that is skipped, where it is. */
export const SILENCE_MS = 5_000;
/** What is left of it, so that one sees that there was something. */
const LEFT_MS = 400;
/** Events of one request: as many as have about so many characters, at most. */
const BLOCK = 2_000;
const FIRST_BLOCK = 200;
const CHARACTERS = 4_000_000;
/** Batches come at most this often. */
const BATCH_MS = 40;
const TICK_MS = 40;
/** Jumps ahead over more events than this begin the views anew, shorter ones let the events pass. */
const PASSED = 3_000;

export const SPEEDS = [1, 2, 5, 10, 20, 50, 100] as const;

export class ReplaySource extends Source {
  override readonly connection: Value<Connection>;
  override readonly readOnly = 'this is a replay';
  /** Milliseconds since the run's start. */
  readonly position = new Value(0);
  readonly playing = new Value(false);
  readonly speed = new Value(1);
  /** Leave out silences. */
  readonly skip = new Value(true);
  /** Counts up when views have to begin anew: time has gone back, or far ahead. */
  readonly restarted = new Value(0);

  /** Last event that views may know of. */
  private shown: number;
  private timer: ReturnType<typeof setInterval> | undefined;
  private ticked = 0;

  constructor(
    private readonly inner: Source,
    private readonly runId: string,
    readonly course: { seq: number[]; ts: number[] },
    private readonly signal: AbortSignal,
  ) {
    super(inner.transport);
    this.connection = inner.connection;
    this.shown = this.seqAt(0);
    signal.addEventListener('abort', () => clearInterval(this.timer), { once: true });
  }

  static async open(inner: Source, runId: string, signal: AbortSignal): Promise<ReplaySource> {
    return new ReplaySource(inner, runId, await inner.clock(runId, signal), signal);
  }

  /** When the run began, ms since 1970. */
  get begin(): number {
    return this.course.ts[0] ?? 0;
  }

  /** How long it took, ms. */
  get length(): number {
    return Math.max(0, (this.course.ts.at(-1) ?? 0) - this.begin);
  }

  get lastSeq(): number {
    return this.course.seq.at(-1) ?? -1;
  }

  override now(): number {
    return this.begin + this.position.get();
  }

  // -- the player

  play(): void {
    if (this.playing.get() || this.signal.aborted) return;
    if (this.position.get() >= this.length) this.seek(0);
    this.ticked = performance.now();
    this.timer = setInterval(() => this.tick(), TICK_MS);
    this.playing.set(true);
  }

  pause(): void {
    clearInterval(this.timer);
    this.playing.set(false);
  }

  /** Go to a place, ms since the run's start. */
  seek(to: number): void {
    const before = this.position.get();
    const at = Math.max(0, Math.min(this.length, to));
    const last = this.seqAt(at);
    if (at < before || last - this.shown > PASSED) {
      // the views of before end first: events of theirs that are due now must not be shown to the new ones
      this.shown = last;
      this.restarted.set(this.restarted.get() + 1);
    }
    this.position.set(at);
  }

  private tick(): void {
    const now = performance.now();
    const to = this.position.get() + (now - this.ticked) * this.speed.get();
    this.ticked = now;
    this.position.set(Math.min(this.length, to));
    if (to >= this.length) this.pause();
  }

  /** The last event known to have come by then; a few more may have. */
  private seqAt(position: number): number {
    const { seq, ts } = this.course;
    const at = this.begin + position;
    let [low, high] = [0, ts.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ts[middle]! <= at) low = middle + 1;
      else high = middle;
    }
    return seq[low - 1] ?? -1;
  }

  // -- what views see

  override async run(runId: string, signal?: AbortSignal): Promise<RunDetail> {
    const row = await this.inner.run(runId, signal);
    if (runId !== this.runId || this.shown >= this.lastSeq) return row;
    return {
      ...row, status: 'running', reason: '', ended: null, updated: row.started, progress: null, progress_text: null,
      result: null, error: null, attempt: 1, events: this.shown + 1, last_seq: this.shown, locks: [], place: null,
    };
  }

  override overview(runId: string, upto?: number, signal?: AbortSignal): ReturnType<Source['overview']> {
    return this.inner.overview(runId, Math.min(upto ?? Infinity, this.shown), signal);
  }

  override window(runId: string, filter: Filter, offset: number, limit: number, signal?: AbortSignal): Promise<Window> {
    const upto = Math.min(filter.upto ?? Infinity, this.shown);
    return this.inner.window(runId, { ...filter, upto }, offset, limit, signal);
  }

  /** Events after `after` when their time comes. */
  override async *follow(runId: string, after: number, signal: AbortSignal): AsyncGenerator<Followed> {
    const over = (): boolean => signal.aborted;
    let due = 0;
    let next = this.block(runId, after, signal);
    for (;;) {
      const block = await next;
      if (over()) return;
      if (block.length === 0) {
        const { status, last_seq } = await this.inner.run(runId, signal);
        yield { end: { status, last_seq } };
        return;
      }
      next = this.block(runId, block.seq(block.length - 1), signal, fitting(block));
      next.catch(() => undefined); // it is awaited in the next round, if there is one
      for (let from = 0; from < block.length; ) {
        due = Math.max(due, block.at(from).ts - this.begin);
        if (!(await this.reached(due, signal)) || over()) return;
        let to = from + 1;
        while (to < block.length && block.at(to).ts - this.begin <= this.position.get()) to++;
        this.shown = block.seq(to - 1);
        yield { events: block.slice(from, to) };
        from = to;
        await pause(BATCH_MS, signal);
      }
    }
  }

  private async block(runId: string, after: number, signal: AbortSignal, limit = FIRST_BLOCK): Promise<EventTable> {
    return (await this.inner.window(runId, {}, after + 1, limit, signal)).events;
  }

  /** Resolves once that time has come; false where nobody waits any more. */
  private reached(due: number, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const controller = new AbortController();
      const ending = AbortSignal.any([signal, this.signal, controller.signal]);
      const done = (arrived: boolean): void => {
        resolve(arrived);
        controller.abort();
      };
      ending.addEventListener('abort', () => resolve(false), { once: true });
      if (ending.aborted) resolve(false);
      this.position.watch((at) => {
        if (at >= due) done(true);
        else if (this.playing.get() && this.skip.get() && due - at > SILENCE_MS) this.position.set(due - LEFT_MS);
      }, ending);
    });
  }

  override async lock(runId: string, lid: string, signal?: AbortSignal): Promise<LockDetail> {
    return { ...(await this.inner.lock(runId, lid, signal)), open: true, lease: null };
  }

  override answer(): Promise<void> {
    return refused();
  }

  override cancel(): Promise<void> {
    return refused();
  }

  override remove(): Promise<void> {
    return refused();
  }

  override rerun(): Promise<RunRow> {
    return refused();
  }
}

/** How many events the next request may bring, going by some of these. */
function fitting(block: EventTable): number {
  let [seen, characters] = [0, 1];
  for (let row = 0; row < block.length; row += Math.ceil(block.length / 20)) {
    characters += block.at(row).payload.length;
    seen++;
  }
  return Math.max(20, Math.min(BLOCK, Math.floor((CHARACTERS * seen) / characters)));
}

function refused(): Promise<never> {
  const detail = 'This is a replay: what is shown has happened, and nothing of it can be changed.';
  return Promise.reject(new Refusal({ type: 'urn:kodosumi-lab:problem:replay', title: 'A replay', status: 409, detail }));
}
