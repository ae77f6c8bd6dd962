// One run, followed: its overview first, then what comes. Every part of a run's view reads this
// state and draws when `changed` counts up; lists take the events themselves.

import type { EventTable } from '../sources/events.ts';
import { type Source, pause } from '../sources/source.ts';
import { Unreachable, aborted } from '../sources/transport.ts';
import { Value } from '../sources/value.ts';
import { PIECES, type Piece, type RunState, emptyState, ended, foldEvents } from './fold.ts';
import { missingBefore, survey } from './survey.ts';
import { t } from './words.ts';

export * from './fold.ts';

/** How often a run that waits for its start is asked for its place in the queue. */
const QUEUE_MS = 2_000;
/** Status changes come in twos and threes: one request answers them all. */
const SETTLE_MS = 120;

export class RunStore {
  readonly state: RunState = emptyState();
  /** Counts up whenever the state is another one. */
  readonly changed = new Value(0);
  /** Why the run cannot be shown: it is not there, or may not be seen. */
  readonly problem = new Value<Error | null>(null);
  /** Resolves when the state is that of the overview; not before, whatever goes wrong. */
  readonly ready: Promise<void>;

  /** Nothing comes any more. */
  over = false;
  /** Nobody looks, so nobody follows. */
  paused = false;

  private readonly listeners = new Set<(events: EventTable) => void>();
  private following: AbortController | null = null;
  private opened = false;
  /** Pieces in the overview, those of earlier attempts included. */
  private seen = 0;
  private asking: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly source: Source,
    readonly runId: string,
    private readonly signal: AbortSignal,
  ) {
    signal.addEventListener('abort', () => clearTimeout(this.asking), { once: true });
    this.ready = new Promise((resolve) => void this.open(resolve));
  }

  /** The time that an open run has come to, ms. */
  now(): number {
    return Math.max(this.source.now(), this.state.lastTs ?? 0);
  }

  /** Call with each table of new events, in order, until the signal is aborted. */
  onEvents(listener: (events: EventTable) => void, signal: AbortSignal): void {
    if (signal.aborted) return;
    this.listeners.add(listener);
    signal.addEventListener('abort', () => this.listeners.delete(listener), { once: true });
  }

  /** The payload of a piece, asked for again where it was let go. */
  async payload(piece: Piece, signal: AbortSignal): Promise<string> {
    if (piece.payload !== null) return piece.payload;
    const found = await this.source.window(this.runId, { kinds: [piece.kind], upto: piece.seq }, -1, 1, signal);
    if (found.events.length === 0 || found.events.seq(0) !== piece.seq) throw new Error(t('event %1 is not there any more', piece.seq));
    return found.events.at(0).payload;
  }

  /** Fetch of what is missing before a piece the part next to it; the pieces that have come. */
  async fetchBefore(piece: Piece, signal: AbortSignal): Promise<Piece[]> {
    const found = await missingBefore(this.source, this.runId, piece, signal);
    const at = this.state.pieces.indexOf(piece);
    if (at < 0) return []; // another attempt has begun
    this.state.pieces.splice(at, 0, ...found);
    this.say();
    return found;
  }

  /** Stop following while nobody looks: a browser has six connections to a server over HTTP/1.1, and each live view holds one. */
  pause(): void {
    this.paused = true;
    this.following?.abort();
    this.following = null;
  }

  /** Follow again from where it was. */
  resume(): void {
    this.paused = false;
    if (this.opened && !this.over && !this.following && !this.problem.get()) void this.follow();
  }

  /** Ask for the row again, soon and once. */
  refresh(delayMs = SETTLE_MS): void {
    if (this.signal.aborted) return;
    clearTimeout(this.asking);
    this.asking = setTimeout(() => void this.row(), delayMs);
  }

  private async open(ready: () => void): Promise<void> {
    for (let tries = 0; !this.signal.aborted; tries++) {
      try {
        const [row, overview] = await Promise.all([
          this.source.run(this.runId, this.signal),
          this.source.overview(this.runId, undefined, this.signal),
        ]);
        this.state.row = row;
        foldEvents(this.state, overview.events);
        this.state.lastSeq = Math.max(this.state.lastSeq, overview.lastSeq);
        this.state.events = overview.total;
        this.state.unseen = overview.total - overview.events.length;
        for (let i = 0; i < overview.events.length; i++) this.seen += Number(PIECES.includes(overview.events.kind(i)));
        break;
      } catch (error) {
        if (aborted(error)) return;
        if (!(error instanceof Unreachable)) {
          this.fail(error);
          return;
        }
        await pause(Math.min(5000, 100 * 2 ** tries), this.signal);
      }
    }
    if (this.signal.aborted) return;
    this.opened = true;
    this.say();
    ready();
    void this.settle();
    if (!this.paused) void this.follow();
  }

  /** What the overview does not tell, asked for once the first picture is there. */
  private async settle(): Promise<void> {
    try {
      await survey(this.source, this.runId, this.state, this.seen, this.signal);
      await this.family();
    } catch {
      // counts only; the lists themselves say what is wrong
    }
    this.say();
    if (this.state.status === 'starting') this.refresh(QUEUE_MS);
  }

  private async follow(): Promise<void> {
    const controller = new AbortController();
    this.following = controller;
    const signal = AbortSignal.any([this.signal, controller.signal]);
    try {
      for await (const item of this.source.follow(this.runId, this.state.lastSeq, signal)) {
        if (signal.aborted) return;
        if ('gap' in item) this.state.gaps.push(item.gap);
        else if ('events' in item) this.take(item.events);
        else {
          this.over = true;
          this.refresh(0);
        }
        this.say();
      }
    } catch (error) {
      if (!aborted(error)) this.fail(error);
    }
  }

  private take(events: EventTable): void {
    const { state } = this;
    const before = `${state.status} ${state.attempt} ${state.reason} ${state.cancelling ?? ''} ${state.locks.size}`;
    foldEvents(state, events);
    const after = `${state.status} ${state.attempt} ${state.reason} ${state.cancelling ?? ''} ${state.locks.size}`;
    if (before !== after) this.refresh();
    for (const listener of [...this.listeners]) listener(events);
  }

  private async row(): Promise<void> {
    try {
      this.state.row = await this.source.run(this.runId, this.signal);
      await this.family();
    } catch {
      // the connection's state says so, and the next change asks again
    }
    if (this.signal.aborted) return;
    this.say();
    if (this.state.status === 'starting') this.refresh(QUEUE_MS);
  }

  private async family(): Promise<void> {
    if (this.signal.aborted) return;
    this.state.children = (await this.source.runs({ parent: this.runId, limit: 1 }, this.signal)).total;
  }

  private fail(error: unknown): void {
    if (this.signal.aborted) return;
    this.problem.set(error instanceof Error ? error : new Error(String(error)));
    this.say();
  }

  private say(): void {
    if (!this.signal.aborted) this.changed.set(this.changed.get() + 1);
  }
}

/** Whether everything that the run has said is in the log, as far as was looked. */
export function complete(state: RunState): boolean {
  return ended(state) && state.checked && state.gaps.length === 0;
}
