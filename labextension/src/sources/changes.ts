// What has happened between two looks at a log that somebody wants to be told of.

import { type OpenLock, type RunRow, TERMINAL } from '../wire.ts';
import type { Now } from './feed.ts';

/** The clocks of the log and of the page may differ a little, and a look may be late. */
const SKEW_MS = 15_000;

export interface Change {
  what: 'finished' | 'failed' | 'asks';
  runId: string;
  /** Of a question. */
  lock?: OpenLock;
  /** Of a run that has ended. */
  row?: RunRow;
}

/**
 * Compares what is open with what was, for the runs that are watched. A run that is no longer open is asked for by
 * its id: it may have come and gone between two looks.
 */
export class Changes {
  private open = new Set<string>();
  private readonly asked = new Set<string>();
  /** Runs that have ended as far as anybody here cares. */
  private readonly over = new Set<string>();
  /** Since when a run is cared for that was never seen open. */
  private readonly since = new Map<string, number>();
  private first = true;

  constructor(
    private readonly run: (runId: string) => Promise<RunRow>,
    private readonly clock: () => number = Date.now,
  ) {}

  /** What is new; `watched` are ids, or null for all runs. What was there at the first look is not new. */
  async look(now: Now, watched: ReadonlySet<string> | null): Promise<Change[]> {
    const cares = (runId: string): boolean => watched?.has(runId) ?? true;
    const changes: Change[] = [];
    for (const lock of now.locks) {
      const key = `${lock.run_id} ${lock.lid}`;
      if (!this.asked.has(key) && !this.first && cares(lock.run_id)) changes.push({ what: 'asks', runId: lock.run_id, lock });
      this.asked.add(key);
    }
    const open = new Set(now.runs.map((row) => row.run_id));
    const before = this.open;
    const gone = new Set([...before, ...(watched ?? [])].filter((runId) => !open.has(runId) && cares(runId) && !this.over.has(runId)));
    this.open = open;
    for (const runId of gone) if (!this.since.has(runId)) this.since.set(runId, this.clock());
    const first = this.first;
    this.first = false;
    const ended = await Promise.all([...gone].map(async (runId) => this.ended(runId, before.has(runId), first)));
    return [...changes, ...ended.filter((change) => change !== null)];
  }

  private async ended(runId: string, seen: boolean, first: boolean): Promise<Change | null> {
    let row: RunRow;
    try {
      row = await this.run(runId);
    } catch {
      this.over.add(runId); // deleted, or of another log
      return null;
    }
    if (!TERMINAL.includes(row.status)) return null; // beyond the newest that are listed
    this.over.add(runId);
    // one that was opened long after its end is no news; one that was launched and ended between two looks is
    const news = seen || (!first && Date.parse(row.ended ?? '') >= (this.since.get(runId) ?? 0) - SKEW_MS);
    if (!news || row.status === 'cancelled') return null; // somebody wanted that
    return { what: row.status === 'finished' ? 'finished' : 'failed', runId, row };
  }
}
