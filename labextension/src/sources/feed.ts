// What is going on in a log, for everybody on the page who wants to know: runs that are open, questions that wait.

import { poll } from '../views/poll.ts';
import type { OpenLock, RunPage, RunRow } from '../wire.ts';
import type { Source } from './source.ts';
import { Value } from './value.ts';

/** The newest of them are enough: who wants all opens the runs table. */
const RUNS = 200;
const OPEN = `/api/v1/runs?status=starting&status=running&status=awaiting&limit=${RUNS}`;
const LOCKS = '/api/v1/locks';
/** While nothing is open, changes come from elsewhere, and can wait. */
const IDLE = 5;

export interface Now {
  /** Open runs, newest first; at most 200. */
  runs: readonly RunRow[];
  /** How many there are. */
  total: number;
  locks: readonly OpenLock[];
}

export class Feed {
  readonly now = new Value<Now | null>(null);
  private wakes: (() => void)[] = [];
  private over: AbortController | null = null;
  private soon: ReturnType<typeof setTimeout> | undefined;

  /** `everyMs` is asked before each pause. */
  constructor(
    private readonly source: Source,
    private readonly everyMs: () => number,
  ) {}

  /** Look at the log from now on, until stopped; starting again forgets what was known. */
  start(): void {
    this.stop();
    const over = new AbortController();
    this.over = over;
    const paced = { everyMs: () => this.paceMs };
    this.wakes = [
      poll(this.source, () => OPEN, (data) => this.take({ runs: (data as RunPage).items, total: (data as RunPage).total }), over.signal, paced),
      poll(this.source, () => LOCKS, (data) => this.take({ locks: data as OpenLock[] }), over.signal, paced),
    ];
  }

  stop(): void {
    this.over?.abort();
    clearTimeout(this.soon);
    this.wakes = [];
  }

  /** Milliseconds between two looks: fewer while something is open. */
  get paceMs(): number {
    const now = this.now.get();
    const busy = now !== null && (now.total > 0 || now.locks.length > 0);
    return this.everyMs() * (busy ? 1 : IDLE);
  }

  /** Something has probably changed. */
  wake(afterMs = 0): void {
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this.wakes.forEach((wake) => wake()), afterMs);
  }

  private take(part: Partial<Now>): void {
    this.now.set({ runs: [], total: 0, locks: [], ...this.now.get(), ...part });
  }
}
