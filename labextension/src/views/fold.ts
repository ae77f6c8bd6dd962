// What the events of a run add up to, as Python's runtime/lifecycle.py has it for its own readers:
// pure, no requests, no clock. One function takes a table of events, live or of the overview.

import type { EventTable } from '../sources/events.ts';
import type { FileInfo } from '../sources/source.ts';
import { type Kind, type RunDetail, type Status, TERMINAL } from '../wire.ts';

/** A progress bar. Without a name it is its agent's own, without an agent the run's. */
export interface Bar {
  key: string;
  name: string | null;
  agent: string | null;
  value: number;
  total: number | null;
  label: string | null;
  /** What it was when it was heard of first. */
  first: number;
  /** When it was heard of first and last, ms. */
  since: number;
  ts: number;
}

/** Something a flow showed. The payload is the log's own text, null where it was let go (see `RunStore.payload`). */
export interface Piece {
  seq: number;
  ts: number;
  kind: 'result' | 'action' | 'final';
  agent: string | null;
  payload: string | null;
  /** How many before this one are in the log but not here: the overview of a long run leaves some out. */
  missing?: number;
}

export interface Span {
  id: string;
  parent: string | null;
  name: string;
  agent: string | null;
  /** ms since 1970 */
  start: number;
  end: number | null;
  error: string | null;
  attributes: Record<string, unknown>;
}

export interface Metric {
  name: string;
  unit: string | null;
  /** `x` is the step, or `t`; `t` is ms since 1970. */
  points: { x: number; y: number; t: number }[];
  stepped: boolean;
}

/** A question to a person that is open. */
export interface Asked {
  lid: string;
  name: string | null;
  agent: string | null;
  seq: number;
  ts: number;
  /** ms since 1970 */
  expires: number | null;
}

/** A question that is closed. */
export interface Answered extends Asked {
  by: string | null;
  expired: boolean;
  at: number;
  closedSeq: number;
  result: unknown;
}

/** How an attempt failed. */
export interface Failure {
  attempt: number;
  ts: number;
  type: string;
  message: string;
  traceback: string;
}

/** An attempt, and why it was begun. */
export interface Attempt {
  number: number;
  ts: number;
  reason: string;
}

/** Events that are not there, both ends included. */
export interface Gap {
  from: number;
  to: number;
}

export interface RunState {
  /** As the run list has it: flow, user, inputs; for status and result see the fields below. */
  row: RunDetail | null;
  status: Status;
  reason: string;
  /** The status that ends it, when somebody has asked for an end that has not come yet. */
  cancelling: string | null;
  attempt: number;
  attempts: Attempt[];
  /** ms since 1970: launched, first running, ended. */
  started: number | null;
  running: number | null;
  ended: number | null;
  bars: Map<string, Bar>;
  pieces: Piece[];
  spans: Map<string, Span>;
  metrics: Map<string, Metric>;
  agents: Map<string, Record<string, unknown>>;
  files: Map<string, FileInfo>;
  locks: Map<string, Asked>;
  answers: Answered[];
  failures: Failure[];
  /** Console lines: stdout, stderr, debug, log. */
  lines: number;
  /** Events that the overview has left out, before they are counted by kind. */
  unseen: number;
  /** All events so far. */
  events: number;
  lastSeq: number;
  /** Time of the last event, ms. */
  lastTs: number | null;
  gaps: Gap[];
  /** Whether the events of before were counted: `gaps` is all there is to tell. */
  checked: boolean;
  /** Runs that this one has started. */
  children: number;
  /** Characters of payloads held in `pieces`, and how many pieces were let go from the front. */
  held: number;
  letGo: number;
}

export function emptyState(): RunState {
  return {
    row: null, status: 'starting', reason: '', cancelling: null, attempt: 1, attempts: [],
    started: null, running: null, ended: null,
    bars: new Map(), pieces: [], spans: new Map(), metrics: new Map(), agents: new Map(), files: new Map(),
    locks: new Map(), answers: [], failures: [],
    lines: 0, unseen: 0, events: 0, lastSeq: -1, lastTs: null, gaps: [], checked: false, children: 0, held: 0, letGo: 0,
  };
}

/** What a console shows. */
export const CONSOLE: readonly Kind[] = ['stdout', 'stderr', 'debug', 'log'];

/** What a flow shows. */
export const PIECES: readonly Kind[] = ['result', 'action', 'final'];

export function ended(state: RunState): boolean {
  return TERMINAL.includes(state.status);
}

/** Whether it ended otherwise than it should have. */
export function failed(state: RunState): boolean {
  return ended(state) && state.status !== 'finished';
}

// A browser tab has a few hundred MB: what may grow without end is bounded here.
const MAX_SPANS = 20_000;
const MAX_BARS = 500;
const MAX_POINTS = 4_096;
const MAX_METRICS = 500;
const MAX_ANSWERS = 1_000;
/** Characters of results; older ones are asked for again when somebody looks at them. */
const MAX_HELD = 32 * 2 ** 20;

/** Apply events, in order, in place. */
export function foldEvents(state: RunState, table: EventTable): void {
  // of each bar only the last value of a table counts, and only that is parsed
  const moved = new Map<string, number>();
  for (let row = 0; row < table.length; row++) {
    const kind = table.kind(row);
    switch (kind) {
      case 'stdout':
      case 'stderr':
      case 'debug':
      case 'log':
        state.lines++;
        break;
      case 'progress':
        moved.set(barKey(table.at(row)), row);
        break;
      default:
        if (newAttempt(state, table, row, kind)) moved.clear();
        FOLD[kind]?.(state, table, row);
    }
  }
  for (const [key, row] of moved) progress(state, table, row, key);
  if (table.length === 0) return;
  const last = table.at(table.length - 1);
  state.lastSeq = Math.max(state.lastSeq, last.seq);
  state.lastTs = last.ts;
  state.started ??= table.at(0).ts;
  state.events += table.length;
}

type Fold = (state: RunState, table: EventTable, row: number) => void;

const FOLD: Partial<Record<Kind, Fold>> = {
  meta: (state, table, row) => (state.started = table.at(row).ts),
  status,
  error,
  result: piece,
  action: piece,
  final: piece,
  lock,
  lease,
  metric,
  span,
  agent,
  upload,
};

function objectOf(payload: string): Record<string, unknown> {
  try {
    const value = JSON.parse(payload) as unknown;
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function number(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

/** A later attempt begins anew: what the one before said is over. */
function newAttempt(state: RunState, table: EventTable, row: number, kind: Kind): boolean {
  if (kind !== 'status') return false;
  const event = table.at(row);
  if (event.attempt <= state.attempt) return false;
  for (const open of state.spans.values()) {
    if (open.end === null) Object.assign(open, { end: event.ts, error: `attempt ${state.attempt} ended` });
  }
  const reason = text(objectOf(event.payload)['reason']) ?? '';
  if (state.attempts.length === 0) state.attempts.push({ number: 1, ts: state.started ?? event.ts, reason: '' });
  state.attempts.push({ number: event.attempt, ts: event.ts, reason });
  Object.assign(state, { attempt: event.attempt, pieces: [], held: 0, letGo: 0, answers: [] });
  for (const part of [state.bars, state.metrics, state.locks]) part.clear();
  return true;
}

function status(state: RunState, table: EventTable, row: number): void {
  const event = table.at(row);
  const data = objectOf(event.payload);
  state.status = (text(data['status']) ?? state.status) as Status;
  state.reason = text(data['reason']) ?? '';
  state.cancelling = text(data['cancelling']) ?? state.cancelling;
  if (state.status === 'running') state.running ??= event.ts;
  if (!ended(state)) return;
  state.ended = event.ts;
  state.cancelling = null;
  state.locks.clear();
}

function error(state: RunState, table: EventTable, row: number): void {
  const { attempt, ts, payload } = table.at(row);
  const data = objectOf(payload);
  const [type, message] = [text(data['type']) ?? 'Error', text(data['message']) ?? ''];
  state.failures.push({ attempt, ts, type, message, traceback: text(data['traceback']) ?? '' });
}

function piece(state: RunState, table: EventTable, row: number): void {
  const { seq, ts, kind, agent, payload } = table.at(row);
  state.pieces.push({ seq, ts, kind: kind as Piece['kind'], agent, payload });
  state.held += payload.length;
  while (state.held > MAX_HELD && state.letGo < state.pieces.length - 1) {
    const oldest = state.pieces[state.letGo++]!;
    state.held -= oldest.payload?.length ?? 0;
    oldest.payload = null;
  }
}

function lock(state: RunState, table: EventTable, row: number): void {
  const { seq, ts, agent, payload } = table.at(row);
  const data = objectOf(payload);
  const lid = text(data['lid']);
  if (lid === null) return;
  const expires = number(data['expires']);
  state.locks.set(lid, { lid, name: text(data['name']), agent, seq, ts, expires: expires === null ? null : expires * 1000 });
}

function lease(state: RunState, table: EventTable, row: number): void {
  const { seq, ts, agent, payload } = table.at(row);
  const data = objectOf(payload);
  const lid = text(data['lid']);
  if (lid === null) return;
  const asked = state.locks.get(lid) ?? { lid, name: null, agent, seq, ts, expires: null };
  state.locks.delete(lid);
  const expired = data['expired'] === true;
  state.answers.push({ ...asked, by: text(data['by']), expired, at: ts, closedSeq: seq, result: data['result'] ?? null });
  if (state.answers.length > MAX_ANSWERS) state.answers.shift();
}

/** `name` is the last key of what the tracer writes, so the bar is known without parsing the rest. */
function barKey({ agent, payload }: { agent: string | null; payload: string }): string {
  const at = payload.lastIndexOf('"name":');
  return `${agent ?? ''}\u0000${at < 0 ? 'null}' : payload.slice(at + 7)}`;
}

function progress(state: RunState, table: EventTable, row: number, key: string): void {
  const { agent, ts, payload } = table.at(row);
  const data = objectOf(payload);
  const value = number(data['value']);
  if (value === null) return;
  const { since, first } = state.bars.get(key) ?? { since: ts, first: value };
  const total = number(data['total']);
  state.bars.set(key, { key, name: text(data['name']), agent, value, total, label: text(data['label']), first, since, ts });
  drop(state.bars, MAX_BARS, (bar) => bar.name !== null && bar.total !== null && bar.value >= bar.total);
}

/** Forget a tenth: the oldest that are over, and where those are too few, the oldest. Rarely, since each time looks at all. */
function drop<V>(held: Map<string, V>, most: number, over: (value: V) => boolean): void {
  if (held.size <= most) return;
  const least = Math.floor(most * 0.9);
  for (const wanted of [over, () => true]) {
    for (const [key, value] of held) {
      if (held.size <= least) return;
      if (wanted(value)) held.delete(key);
    }
  }
}

function metric(state: RunState, table: EventTable, row: number): void {
  const { ts, payload } = table.at(row);
  const data = objectOf(payload);
  const [name, y] = [text(data['name']), number(data['value'])];
  if (name === null || y === null) return;
  const step = number(data['step']);
  let held = state.metrics.get(name);
  if (!held) {
    if (state.metrics.size >= MAX_METRICS) return;
    held = { name, unit: null, points: [], stepped: step !== null };
    state.metrics.set(name, held);
  }
  held.unit = text(data['unit']) ?? held.unit;
  held.points.push({ x: held.stepped ? (step ?? held.points.length) : ts, y, t: ts });
  if (held.points.length > MAX_POINTS) held.points = thinned(held.points);
}

/** Half as many points, with every peak: of each four the lowest and the highest. */
function thinned(points: Metric['points']): Metric['points'] {
  const kept: Metric['points'] = [];
  for (let at = 0; at < points.length; at += 4) {
    const four = points.slice(at, at + 4);
    let [low, high] = [0, 0];
    for (let i = 1; i < four.length; i++) {
      if (four[i]!.y < four[low]!.y) low = i;
      if (four[i]!.y >= four[high]!.y) high = i;
    }
    kept.push(four[Math.min(low, high)]!);
    if (low !== high) kept.push(four[Math.max(low, high)]!);
  }
  return kept;
}

function span(state: RunState, table: EventTable, row: number): void {
  const { ts, agent, payload } = table.at(row);
  const { id, parent, name, state: at, duration_s: took, error: wrong, ...attributes } = objectOf(payload);
  const key = text(id);
  if (key === null) return;
  if (at !== 'closed') {
    state.spans.set(key, {
      id: key, parent: text(parent), name: text(name) ?? '', agent, start: ts, end: null, error: null, attributes,
    });
    drop(state.spans, MAX_SPANS, (one) => one.end !== null);
    return;
  }
  const seconds = number(took) ?? 0;
  let held = state.spans.get(key);
  if (!held) {
    const start = ts - seconds * 1000;
    held = { id: key, parent: text(parent), name: text(name) ?? '', agent, start, end: null, error: null, attributes: {} };
    state.spans.set(key, held);
  }
  held.end = Math.max(held.start, ts);
  held.error = text(wrong);
  Object.assign(held.attributes, attributes);
}

function agent(state: RunState, table: EventTable, row: number): void {
  const about = objectOf(table.at(row).payload)['agent'];
  if (typeof about !== 'object' || about === null) return;
  const name = text((about as Record<string, unknown>)['name']);
  if (name !== null) state.agents.set(name, about as Record<string, unknown>);
}

function upload(state: RunState, table: EventTable, row: number): void {
  const files = objectOf(table.at(row).payload)['files'];
  if (!Array.isArray(files)) return;
  for (const file of files as Partial<FileInfo>[]) {
    if (typeof file.path === 'string') state.files.set(file.path, { size: 0, last_modified: 0, ...file } as FileInfo);
  }
}
