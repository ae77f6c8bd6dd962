// Console lines as elements: one row an event, however many lines it has. What an event says is
// parsed once and never becomes HTML.

import type { Event } from '../../sources/events.ts';
import type { Kind } from '../../wire.ts';
import { type Line, type Segment, lines, styled } from './ansi.ts';
import { h } from '../dom.ts';
import { absolute, bytes, clock, plural } from '../format.ts';
import { t } from '../words.ts';

export const KINDS: readonly Kind[] = ['stdout', 'stderr', 'log', 'debug'];

/** Lines of an event that are shown unless somebody asks for all. */
const LINES_SHOWN = 40;
/** Lines shown then; there is the download for more. */
const LINES_MOST = 5_000;
/** Characters shown of a line. */
const WIDEST = 4_000;

/** What an event says. */
export interface Said {
  lines: Line[];
  level: string | null;
  title: string;
  /** Its text lies beside the log. */
  artifact: { sha256: string; nbytes: number } | null;
}

const known = new WeakMap<Event, Said>();

export function said(event: Event): Said {
  let found = known.get(event);
  if (!found) {
    found = read(event);
    known.set(event, found);
  }
  return found;
}

function read(event: Event): Said {
  let value: unknown;
  try {
    value = JSON.parse(event.payload);
  } catch {
    value = event.payload;
  }
  const nothing = { level: null, title: '', artifact: null };
  if (typeof value === 'string') return { ...nothing, lines: lines(value) };
  if (typeof value !== 'object' || value === null) return { ...nothing, lines: lines(String(value)) };
  const data = value as Record<string, unknown>;
  const artifact = data['artifact'] as Said['artifact'] | undefined;
  if (artifact?.sha256) return { ...nothing, lines: [], artifact };
  if (event.kind !== 'log') return { ...nothing, lines: lines(event.payload) };
  const word = (name: string): string => (typeof data[name] === 'string' ? data[name] : '');
  const text = [word('message'), word('traceback')].filter(Boolean).join('\n');
  const head: Segment[] = word('logger') ? [{ text: `${word('logger')}: `, style: { dim: true } }] : [];
  const [first = [], ...rest] = lines(text);
  return { lines: [[...head, ...first], ...rest], level: word('level') || 'INFO', title: word('where'), artifact: null };
}

/** An event's text without its looks, as it is copied. */
export function textOf(event: Event): string {
  const { lines: all, level, artifact } = said(event);
  if (artifact) return t('[%1 kept beside the log: artifact %2]', bytes(artifact.nbytes), artifact.sha256);
  const text = all.map((line) => line.map((segment) => segment.text).join('')).join('\n');
  return level === null ? text : `${level} ${text}`;
}

export interface Looks {
  times: boolean;
  /** Text that is marked, in any case. */
  mark: string;
  /** Events shown with all their lines. */
  open: ReadonlySet<number>;
  /** Show all lines of an event, or load what is kept beside the log. */
  more(event: Event): void;
}

/** Fill a row with an event. */
export function drawLine(row: HTMLElement, event: Event, looks: Looks): void {
  const { lines: all, level, title, artifact } = said(event);
  row.dataset['kind'] = event.kind;
  row.title = title;
  if (level === null) delete row.dataset['level'];
  else row.dataset['level'] = level.toUpperCase();
  row.replaceChildren();
  if (looks.times) row.append(h('span', { class: 'kl-line-time', title: absolute(event.ts), text: clock(event.ts) }));
  row.append(h('span', { class: 'kl-line-mark', 'aria-hidden': true, text: MARK[event.kind] ?? '' }));
  if (event.kind === 'stderr') row.append(h('span', { class: 'kl-visually-hidden kl-line-aside', text: t('stderr: ') }));
  if (event.agent !== null) row.append(h('span', { class: 'kl-line-agent', title: t('agent %1', event.agent), text: event.agent }));
  if (level !== null) row.append(h('span', { class: 'kl-line-level', text: level }));
  const text = h('span', { class: 'kl-line-text' });
  const shown = Math.min(all.length, looks.open.has(event.seq) ? LINES_MOST : LINES_SHOWN);
  const mark = looks.mark.toLowerCase();
  for (let at = 0; at < shown; at++) {
    if (at > 0) text.append('\n');
    drawSegments(text, all[at]!, mark);
  }
  row.append(text);
  if (artifact) row.append(moreButton(event, t('load %1 kept beside the log', bytes(artifact.nbytes)), looks));
  else if (shown < all.length) {
    const rest = shown < LINES_MOST ? `show ${plural(all.length - shown, 'more line')}` : '';
    if (rest) row.append(moreButton(event, rest, looks));
    else row.append(h('span', { class: 'kl-muted kl-line-more', text: t('%1 in the download', plural(all.length - shown, 'more line')) }));
  }
}

const MARK: Partial<Record<Kind, string>> = { stderr: '!', log: '›', debug: '·' };

function moreButton(event: Event, text: string, looks: Looks): HTMLElement {
  const button = h('button', { class: 'kl-link kl-line-more', type: 'button', text });
  button.addEventListener('click', () => looks.more(event));
  return button;
}

function drawSegments(parent: HTMLElement, line: Line, mark: string): void {
  let left = WIDEST;
  const places = mark ? found(line.map((segment) => segment.text).join(''), mark) : [];
  let at = 0;
  for (const { text, style } of line) {
    const cut = text.slice(0, left);
    const into = style ? parent.appendChild(styled(style)) : parent;
    drawMarked(into, cut, at, places);
    at += text.length;
    left -= cut.length;
    if (left > 0) continue;
    parent.append(h('span', { class: 'kl-muted', text: ' …' }));
    return;
  }
}

function found(text: string, mark: string): [number, number][] {
  const places: [number, number][] = [];
  const lower = text.toLowerCase();
  if (lower.length !== text.length) return places; // a letter that changes its length: places would be wrong
  for (let at = lower.indexOf(mark); at >= 0; at = lower.indexOf(mark, at + mark.length)) places.push([at, at + mark.length]);
  return places;
}

function drawMarked(parent: HTMLElement, text: string, offset: number, places: [number, number][]): void {
  let at = 0;
  for (const [from, to] of places) {
    const [a, b] = [Math.max(0, from - offset), Math.min(text.length, to - offset)];
    if (b <= at || a >= text.length || a >= b) continue;
    if (a > at) parent.append(text.slice(at, a));
    parent.append(h('mark', { text: text.slice(a, b) }));
    at = b;
  }
  if (at < text.length) parent.append(text.slice(at));
}

export const LINES_CSS = `
.kl .kl-line { display: flex; align-items: flex-start; gap: 0 8px; padding: 0 8px 0 0; line-height: 18px; min-height: 18px; white-space: pre; border-inline-start: 3px solid transparent; tab-size: 8; }
.kl .kl-line > * { flex: none; }
.kl .kl-line-time, .kl .kl-line-agent, .kl .kl-line-mark, .kl .kl-line-more { user-select: none; color: var(--kl-fg2); }
.kl .kl-line-mark { width: 12px; text-align: center; }
.kl .kl-line-agent { max-width: 14ch; overflow: hidden; text-overflow: ellipsis; color: var(--kl-accent); }
.kl .kl-line-level { min-width: 8ch; font-weight: 600; color: var(--kl-fg2); }
.kl .kl-line-aside { user-select: none; }
.kl .kl-line[data-kind=stderr] { border-color: var(--kl-bad); background: color-mix(in srgb, var(--kl-bad) 7%, transparent); }
.kl .kl-line[data-kind=stderr] .kl-line-mark { color: var(--kl-bad); font-weight: 700; }
.kl .kl-line[data-kind=debug] .kl-line-text { color: var(--kl-fg2); font-style: italic; }
.kl .kl-line[data-level=WARNING] { border-color: var(--kl-warn); }
.kl .kl-line[data-level=WARNING] .kl-line-level { color: var(--kl-warn); }
.kl .kl-line:is([data-level=ERROR], [data-level=CRITICAL]) { border-color: var(--kl-bad); background: color-mix(in srgb, var(--kl-bad) 7%, transparent); }
.kl .kl-line:is([data-level=ERROR], [data-level=CRITICAL]) .kl-line-level { color: var(--kl-bad); }
.kl .kl-line[data-level=DEBUG] .kl-line-text { color: var(--kl-fg2); }
.kl .kl-line mark { background: var(--kl-mark); color: inherit; }
.kl .kl-line.kl-found { outline: 1px solid var(--kl-accent); outline-offset: -1px; background: color-mix(in srgb, var(--kl-accent) 12%, transparent); }
.kl .kl-line-wait .kl-line-text { color: var(--kl-fg2); opacity: .6; }
.kl .kl-console .kl-list:not(.kl-wrap) .kl-list-layer { width: max-content; }
.kl .kl-wrap .kl-line { white-space: pre-wrap; overflow-wrap: anywhere; flex-wrap: wrap; }
.kl .kl-wrap .kl-line > .kl-line-text { flex: 1 1 12ch; min-width: 0; }
`;
