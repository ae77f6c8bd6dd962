// Where the spans of a run stand: a lane for each agent, rows in it for what is nested or at the
// same time. A span keeps its row once it has one, so nothing jumps while a run goes on.

import type { Attempt, RunState, Span } from '../store.ts';
import { t } from '../words.ts';

/** A queue that was shorter than this is none. */
const NOTICED_MS = 250;

/** A span in its place. */
export interface Item {
  span: Span;
  lane: Lane;
  row: number;
  depth: number;
  /** On the longest chain: what the run's duration hangs on. */
  critical: boolean;
}

export interface Lane {
  /** null is the flow itself. */
  agent: string | null;
  index: number;
  rows: number;
  /** Until when each row is taken, ms. */
  taken: number[];
}

/** A stretch in which a person was waited for, or the queue. */
export interface Wait {
  name: string;
  kind: 'lock' | 'queue';
  from: number;
  to: number | null;
  by: string | null;
}

export class Layout {
  readonly lanes: Lane[] = [];
  readonly items = new Map<string, Item>();
  /** In order of their start. */
  ordered: Item[] = [];
  waits: Wait[] = [];
  attempts: Attempt[] = [];

  /** Take over what a run's state says now. */
  update(state: RunState): void {
    let added = false;
    for (const span of state.spans.values()) {
      const item = this.items.get(span.id);
      if (item?.span === span) {
        if (span.end !== null) this.close(item);
      } else {
        this.add(span);
        added = true;
      }
    }
    if (added || this.items.size > state.spans.size) {
      for (const id of this.items.keys()) if (!state.spans.has(id)) this.items.delete(id);
      this.ordered = [...this.items.values()].sort((a, b) => a.span.start - b.span.start);
    }
    this.waits = waitsOf(state);
    this.attempts = state.attempts;
    this.trace(state);
  }

  private add(span: Span): void {
    let lane = this.lanes.find((one) => one.agent === span.agent);
    if (!lane) {
      lane = { agent: span.agent, index: this.lanes.length, rows: 0, taken: [] };
      this.lanes.push(lane);
    }
    const parent = span.parent === null ? undefined : this.items.get(span.parent);
    let row = parent?.lane === lane ? parent.row + 1 : 0;
    while ((lane.taken[row] ?? -Infinity) > span.start + 1e-6) row++;
    while (lane.taken.length < row) lane.taken.push(-Infinity);
    lane.taken[row] = span.end ?? Infinity;
    lane.rows = Math.max(lane.rows, row + 1);
    this.items.set(span.id, { span, lane, row, depth: (parent?.depth ?? -1) + 1, critical: false });
  }

  private close(item: Item): void {
    const { lane, row, span } = item;
    if (lane.taken[row] === Infinity && span.end !== null) lane.taken[row] = span.end;
  }

  /** Mark the spans that the duration hangs on: backwards from the end, always the one that ended last. */
  private trace(state: RunState): void {
    const children = new Map<string | null, Span[]>();
    for (const { span } of this.ordered) {
      const parent = span.parent !== null && this.items.has(span.parent) ? span.parent : null;
      const held = children.get(parent);
      if (held) held.push(span);
      else children.set(parent, [span]);
    }
    const now = state.ended ?? Infinity;
    const critical = new Set<string>();
    const open: [string | null, number][] = [[null, Infinity]];
    for (let next = open.pop(); next; next = open.pop()) {
      let [, until] = next;
      const inside = (children.get(next[0]) ?? []).map((span) => ({ span, end: span.end ?? now }));
      inside.sort((a, b) => b.end - a.end);
      for (const { span, end } of inside) {
        if (end > until) continue;
        critical.add(span.id);
        open.push([span.id, end]);
        until = span.start;
      }
    }
    for (const item of this.items.values()) item.critical = critical.has(item.span.id);
  }

  /** The longest span, the longest in it, and so on. */
  chain(now: number): Span[] {
    const length = (span: Span): number => (span.end ?? now) - span.start;
    const longest = new Map<string | null, Span>();
    for (const { span } of this.ordered) {
      const parent = span.parent !== null && this.items.has(span.parent) ? span.parent : null;
      const held = longest.get(parent);
      if (!held || length(span) > length(held)) longest.set(parent, span);
    }
    const found: Span[] = [];
    for (let at = longest.get(null); at; at = longest.get(at.id)) found.push(at);
    return found;
  }
}

function waitsOf(state: RunState): Wait[] {
  const waits: Wait[] = [];
  if (state.started !== null && state.running === null) {
    if (state.status === 'starting') waits.push({ name: 'queued', kind: 'queue', from: state.started, to: state.ended, by: null });
  } else if (state.started !== null && state.running !== null && state.running - state.started >= NOTICED_MS) {
    waits.push({ name: 'queued', kind: 'queue', from: state.started, to: state.running, by: null });
  }
  for (const lock of state.answers) {
    waits.push({ name: lock.name ?? lock.lid, kind: 'lock', from: lock.ts, to: lock.at, by: lock.expired ? t('nobody in time') : lock.by });
  }
  for (const lock of state.locks.values()) waits.push({ name: lock.name ?? lock.lid, kind: 'lock', from: lock.ts, to: state.ended, by: null });
  return waits;
}
