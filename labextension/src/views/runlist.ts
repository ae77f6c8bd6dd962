// Runs in a narrow place: the newest first, two lines each, live. Only those in sight are drawn, and only as many
// are asked for as were scrolled to.

import type { Source } from '../sources/source.ts';
import { type RunPage, type RunRow, type Status, TERMINAL } from '../wire.ts';
import { h, setText } from './dom.ts';
import { duration, relative } from './format.ts';
import type { Host } from './host.ts';
import { poll } from './poll.ts';
import { LIST_CSS, VirtualList } from './list/virtual.ts';
import { later, t, tn } from './words.ts';

const ROW_PX = 46;
const STEP = 100;
/** More than the gateway gives at once; beyond it, filtering finds more than scrolling. */
const MOST = 1000;
const TYPED_MS = 200;

/** What can be chosen, and the statuses it stands for. */
const CHOICES: [string, readonly Status[]][] = [
  [later('All'), []],
  [later('Open'), ['starting', 'running', 'awaiting']],
  [later('Finished'), ['finished']],
  [later('Failed'), ['error', 'timeout', 'lost', 'cancelled']],
];

export interface RunListOptions {
  /** Milliseconds between two looks, asked before each. */
  everyMs?: () => number;
  /** Called with a function that looks again at once. */
  waking?(wake: () => void): void;
}

export function mountRunList(parent: HTMLElement, source: Source, options: RunListOptions, signal: AbortSignal, host: Host): void {
  new RunList(parent, source, options, signal, host);
}

class RunList {
  private rows: readonly RunRow[] = [];
  private total = 0;
  private limit = STEP;
  private loaded = false;
  private readonly words: HTMLInputElement;
  private readonly choice: HTMLSelectElement;
  private readonly told = h('span', { class: 'kl-muted', role: 'status' });
  private readonly empty = h('div', { class: 'kl-empty', hidden: true });
  private readonly list: VirtualList;
  private readonly parts = new WeakMap<HTMLElement, Line>();
  private readonly wake: () => void;

  constructor(
    parent: HTMLElement,
    private readonly source: Source,
    options: RunListOptions,
    signal: AbortSignal,
    private readonly host: Host,
  ) {
    this.words = h('input', { type: 'search', class: 'kl-grow', placeholder: t('Filter runs'), 'aria-label': t('Filter runs') });
    this.choice = h('select', { 'aria-label': t('Which runs') }, ...CHOICES.map(([name], i) => h('option', { value: i, text: t(name) })));
    const element = h('section', { class: 'kl-runlist', 'aria-label': t('Runs') });
    element.append(h('div', { class: 'kl-runlist-head', 'data-lm-suppress-shortcuts': 'true' }, this.words, this.choice), this.told);
    parent.append(element);
    signal.addEventListener('abort', () => element.remove(), { once: true });
    this.list = new VirtualList(
      element,
      {
        label: t('Runs'), role: 'grid', rowHeight: ROW_PX,
        total: () => this.rows.length,
        want: (_first, last) => this.want(last),
        draw: (row, index) => this.draw(row, index),
        onCurrent: (index, open) => open && this.open(index),
      },
      signal,
    );
    element.append(this.empty);
    const { everyMs } = options;
    this.wake = poll(source, () => this.path(), (data) => this.take(data as RunPage), signal, everyMs ? { everyMs } : {});
    options.waking?.(this.wake);
    this.listen(signal);
    source.connection.watch(() => this.tell(), signal);
  }

  private listen(signal: AbortSignal): void {
    let typed: ReturnType<typeof setTimeout> | undefined;
    const again = (): void => {
      this.limit = STEP;
      this.wake();
    };
    this.words.addEventListener('input', () => {
      clearTimeout(typed);
      typed = setTimeout(again, TYPED_MS);
    }, { signal });
    this.choice.addEventListener('change', again, { signal });
    const clock = setInterval(() => this.list.redraw(), 5000); // relative times
    signal.addEventListener('abort', () => {
      clearTimeout(typed);
      clearInterval(clock);
    }, { once: true });
  }

  private path(): string {
    const query = new URLSearchParams({ limit: String(this.limit) });
    for (const status of CHOICES[Number(this.choice.value)]?.[1] ?? []) query.append('status', status);
    if (this.words.value.trim()) query.set('search', this.words.value.trim());
    return `/api/v1/runs?${query.toString()}`;
  }

  private take(page: RunPage): void {
    this.rows = page.items;
    this.total = page.total;
    this.loaded = true;
    this.list.redraw();
    this.tell();
  }

  /** Scrolled near the end of what is here: ask for more. */
  private want(last: number): void {
    if (last < this.rows.length - 1 || this.rows.length >= this.total || this.rows.length < this.limit || this.limit >= MOST) return;
    this.limit = Math.min(MOST, this.limit + STEP);
    this.wake();
  }

  private tell(): void {
    const lost = this.source.connection.get() === 'lost';
    const filtered = this.words.value.trim() !== '' || this.choice.value !== '0';
    setText(this.told, !this.loaded ? t('Loading…') : lost ? t('Reconnecting…') : tn('%1 run', '%1 runs', this.total));
    this.empty.hidden = !this.loaded || this.rows.length > 0;
    this.list.element.hidden = this.loaded && this.rows.length === 0;
    setText(this.empty, filtered ? t('No run fits.') : t('No runs yet. Launch a flow above, or in a notebook.'));
  }

  private open(index: number): void {
    const row = this.rows[index];
    if (row) this.host.openRun?.(row.run_id);
  }

  private draw(element: HTMLElement, index: number): boolean {
    const row = this.rows[index];
    if (!row) return false;
    let line = this.parts.get(element);
    if (!line) this.parts.set(element, (line = new Line(element)));
    line.draw(row);
    return true;
  }
}

/** The elements of one row; they are filled anew for another run. */
class Line {
  private readonly status = h('span', { class: 'kl-status' });
  private readonly flow = h('span', { class: 'kl-runlist-flow' });
  private readonly when = h('time', { class: 'kl-muted' });
  private readonly bar = h('progress', { max: 1, 'aria-label': t('Progress') });
  private readonly text = h('span', { class: 'kl-runlist-text kl-muted' });

  constructor(private readonly element: HTMLElement) {
    element.classList.add('kl-runlist-row');
    element.append(
      h(
        'div', { role: 'gridcell', class: 'kl-runlist-cell' },
        h('div', { class: 'kl-runlist-line' }, this.status, this.flow, this.when),
        h('div', { class: 'kl-runlist-line' }, this.bar, this.text),
      ),
    );
  }

  draw(row: RunRow): void {
    const { element, status, bar } = this;
    const over = TERMINAL.includes(row.status);
    element.dataset['runId'] = row.run_id;
    element.title = `${row.flow} · ${t(row.status)}\n${row.run_id}`;
    status.dataset['status'] = row.status;
    setText(status, t(row.status));
    setText(this.flow, row.flow);
    setText(this.when, relative(Date.parse(row.started)));
    this.when.dateTime = row.started;
    bar.hidden = over || row.progress === null;
    if (row.progress !== null) bar.value = row.progress;
    setText(this.text, told(row, over));
  }
}

/** The most telling text about a run that fits in a line. */
function told(row: RunRow, over: boolean): string {
  if (row.locks.length > 0) return row.locks.map((lock) => lock.name ?? t('a question')).join(', ');
  if (row.status === 'starting') return row.place === null ? row.reason : t('%1. in the queue', row.place);
  if (!over) return row.progress_text ?? row.reason;
  return [duration(row.active_s), row.error ?? row.result ?? row.reason].filter(Boolean).join(' · ').slice(0, 200);
}

export const RUNLIST_CSS = `${LIST_CSS}
.kl .kl-runlist { display: flex; flex-direction: column; height: 100%; min-height: 0; }
.kl .kl-runlist-head { display: flex; gap: 4px; padding: 6px 8px; }
.kl .kl-runlist-head input { min-width: 60px; }
.kl .kl-runlist > .kl-muted { padding: 0 8px 2px; font-size: .92em; }
.kl .kl-runlist .kl-list { flex: 1 1 0; min-height: 60px; }
.kl .kl-runlist-row { height: ${ROW_PX}px; padding: 4px 8px; cursor: pointer; border-block-end: 1px solid color-mix(in srgb, var(--kl-border) 50%, transparent); overflow: hidden; }
.kl .kl-runlist-row:hover { background: var(--kl-bg2); }
.kl .kl-runlist-row[aria-selected=true] { background: var(--kl-bg2); box-shadow: inset 3px 0 var(--kl-accent); }
.kl .kl-runlist-line { display: flex; align-items: center; gap: 6px; min-width: 0; height: 19px; }
.kl .kl-runlist-line .kl-status { flex: none; font-size: 0; }
.kl .kl-runlist-flow { flex: 1 1 auto; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; font-weight: 600; }
.kl .kl-runlist-line time { flex: none; font-size: .92em; }
.kl .kl-runlist-line progress { flex: 0 0 64px; width: 64px; height: 8px; accent-color: var(--kl-accent); }
.kl .kl-runlist-text { flex: 1 1 auto; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; font-size: .92em; }
`;
