// What has happened between two looks at a log that somebody wants to be told of.

import { type OpenLock, type RunRow, TERMINAL } from '../wire.ts';
import type { Now } from './feed.ts';

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
  private first = true;

  constructor(private readonly run: (runId: string) => Promise<RunRow>) {}

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
    // an unknown id of another log, or one that ended long before, is no news
    const ended = await Promise.all([...gone].map(async (runId) => this.ended(runId, before.has(runId) || !this.first)));
    this.first = false;
    return [...changes, ...ended.filter((change) => change !== null)];
  }

  /** It is known that it has ended, as when it was opened after its end. */
  forget(runId: string): void {
    this.over.add(runId);
  }

  private async ended(runId: string, news: boolean): Promise<Change | null> {
    let row: RunRow;
    try {
      row = await this.run(runId);
    } catch {
      this.over.add(runId); // deleted, or of another log
      return null;
    }
    if (!TERMINAL.includes(row.status)) return null; // beyond the newest that are listed
    this.over.add(runId);
    if (!news || row.status === 'cancelled') return null; // somebody wanted that
    return { what: row.status === 'finished' ? 'finished' : 'failed', runId, row };
  }
}
