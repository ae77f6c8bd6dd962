// One run as a line of the list: its cells are changed in place.

import { type RunRow, TERMINAL } from '../../wire.ts';
import { h, setText } from '../dom.ts';
import { absolute, count, duration, relative } from '../format.ts';
import { later, t } from '../words.ts';

export interface Column {
  key: string;
  title: string;
  /** What the gateway sorts by. */
  sort?: string;
  hint?: string;
}

export const COLUMNS: readonly Column[] = [
  { key: 'status', title: later('Status'), sort: 'status' },
  { key: 'flow', title: later('Flow'), sort: 'flow' },
  { key: 'id', title: later('Run') },
  { key: 'started', title: later('Started'), sort: 'started' },
  { key: 'duration', title: later('Duration'), sort: 'active_s', hint: later('Time that it ran; waiting for people and for a free slot left out') },
  { key: 'progress', title: later('Progress') },
  { key: 'user', title: later('User'), sort: 'user' },
  { key: 'result', title: later('Result') },
];

/** A short id: its end, since those that start together begin alike. */
export function shortId(id: string): string {
  return id.slice(-8);
}

export class Row {
  readonly element: HTMLTableRowElement;
  readonly box: HTMLInputElement;
  /** What opens the run, by key or click. */
  readonly opener: HTMLButtonElement;
  private row: RunRow;
  private readonly status = h('span', { class: 'kl-status' });
  private readonly started = h('time', {});
  private readonly lasted = h('span', {});
  private readonly bar = h('progress', { max: 1 });
  private readonly percent = h('span', { class: 'kl-muted' });
  private readonly at = h('span', { class: 'kl-runs-text kl-muted' });
  private readonly result = h('span', { class: 'kl-runs-text' });

  constructor(row: RunRow, expands: boolean, private readonly frozen = false) {
    this.row = row;
    const short = shortId(row.run_id);
    this.box = h('input', { type: 'checkbox', 'aria-label': t('Select run %1', short) });
    this.opener = h('button', { type: 'button', class: 'kl-link', text: row.flow, 'aria-label': t('%1, run %2', row.flow, short), 'aria-expanded': expands ? 'false' : null });
    const cells: Record<string, (Node | string)[]> = {
      status: [this.status], flow: [this.opener], id: [h('code', { class: 'kl-mono', text: short, title: row.run_id })], started: [this.started],
      duration: [this.lasted], progress: [this.bar, this.percent, this.at], user: [row.user], result: [this.result],
    };
    this.element = h('tr', { 'data-id': row.run_id, 'data-run-id': row.run_id, role: 'row' }, h('td', { class: 'kl-runs-box', role: 'cell' }, h('label', {}, this.box)));
    for (const { key, title } of COLUMNS) {
      this.element.append(h('td', { class: `kl-runs-${key}`, role: 'cell', 'data-title': t(title) }, ...cells[key]!));
    }
    this.draw(row, false);
  }

  draw(row: RunRow, gone: boolean): void {
    this.row = row;
    this.element.classList.toggle('kl-gone', gone);
    this.element.title = gone ? t('It no longer belongs to this page') : '';
    this.status.dataset['status'] = row.status;
    setText(this.status, t(row.status));
    this.status.title = row.locks.length > 0 ? t('waits for %1', row.locks.map((lock) => lock.name ?? t('an answer')).join(', ')) : row.reason;
    this.started.dateTime = row.started;
    this.started.title = absolute(Date.parse(row.started));
    this.progress(row);
    this.outcome(row);
    this.times();
  }

  choose(chosen: boolean): void {
    this.box.checked = chosen;
    this.element.classList.toggle('kl-chosen', chosen);
  }

  /** What goes with the clock. */
  times(now: number = Date.now()): void {
    const { row } = this;
    setText(this.started, relative(Date.parse(row.started), now));
    const since = row.status === 'running' && !this.frozen ? Math.max(0, now - Date.parse(row.updated)) / 1000 : 0;
    setText(this.lasted, row.status === 'starting' ? (row.place === null ? '' : t('%1 in the queue', ordinal(row.place))) : duration(row.active_s + since));
    if (row.ended !== null) this.lasted.title = t('ended %1', absolute(Date.parse(row.ended)));
  }

  private progress(row: RunRow): void {
    const over = TERMINAL.includes(row.status);
    const value = row.progress;
    this.bar.hidden = over || value === null;
    if (value !== null) this.bar.value = value;
    this.bar.setAttribute('aria-label', t('Progress of run %1', shortId(row.run_id)));
    setText(this.percent, value === null || (over && row.status === 'finished') ? '' : `${Math.floor(value * 100)} %`);
    setText(this.at, over ? '' : (row.progress_text ?? ''));
  }

  private outcome(row: RunRow): void {
    const text = row.error || row.result || (TERMINAL.includes(row.status) ? row.reason : '');
    setText(this.result, text.slice(0, 300));
    this.result.title = text.length > 40 ? text.slice(0, 2000) : '';
    this.result.classList.toggle('kl-runs-error', !!row.error);
  }
}

function ordinal(place: number): string {
  const end = place % 100 > 10 && place % 100 < 14 ? 'th' : (['th', 'st', 'nd', 'rd'][place % 10] ?? 'th');
  return `${count(place)}${end}`;
}
