// A sweep, live: a grid where two inputs are multiplied, else a list; the run of a combination opens below.

import { Refusal, type Source } from '../sources/source.ts';
import type { Value } from '../sources/value.ts';
import { STATUSES, type Status, type SweepInfo, type SweepRow, TERMINAL } from '../wire.ts';
import { lostWords } from './controls.ts';
import { fill, h, setText } from './dom.ts';
import { clock, count, duration } from './format.ts';
import type { Host } from './host.ts';
import { poll } from './poll.ts';
import { shortId } from './runs/row.ts';
import { SWEEP_STYLE } from './sweep/css.ts';
import { later, t, tn } from './words.ts';

export const SWEEP_CSS = SWEEP_STYLE;

export interface SweepOptions {
  sweepId: string;
  /** Id of the run that is shown below; empty when none is. */
  selected?: Value<string>;
  /** Draw a run below the grid, where the host opens none. */
  expand?(parent: HTMLElement, runId: string, signal: AbortSignal): void;
}

/** A grid is for looking at once. */
const GRID = 400;
/** So many are drawn as a list; the frame has all. */
const LISTED = 500;
const BUSY_MS = 1000;
const IDLE_MS = 5000;
const FAILED: readonly Status[] = ['error', 'timeout', 'lost'];

export function mountSweep(parent: HTMLElement, source: Source, options: SweepOptions, signal: AbortSignal, host: Host): void {
  new SweepView(parent, source, options, signal, host);
}

class SweepView {
  private readonly element: HTMLElement;
  private readonly title = h('b', {});
  private readonly told = h('span', { role: 'status' });
  private readonly bar = h('progress', { 'aria-label': t('Combinations that have ended') });
  private readonly asOf = h('span', { class: 'kl-muted' });
  private readonly outcome = h('span', { class: 'kl-muted', role: 'status' });
  private readonly problem = h('p', { class: 'kl-problem', hidden: true });
  private readonly buttons: Record<'cancel' | 'rerun' | 'resume', HTMLButtonElement>;
  private readonly place = h('div', { class: 'kl-sweep-scroll' });
  private readonly below = h('div', { class: 'kl-sweep-run' });
  private readonly lines = h('tbody', {});
  private readonly more = h('p', { class: 'kl-muted' });
  private cells = new Map<number, Cell>();
  private shape = '';
  private info: SweepInfo | null = null;
  private answered: number | null = null;
  private open = { id: '', controller: new AbortController() };
  private busy = false;
  private readonly wake: () => void;

  constructor(
    parent: HTMLElement, private readonly source: Source, private readonly options: SweepOptions, signal: AbortSignal, private readonly host: Host,
  ) {
    this.buttons = { cancel: this.button('cancel', t('Cancel the rest')), rerun: this.button('rerun', t('Run failed ones again')), resume: this.button('resume', t('Start the rest')) };
    const head = h('div', { class: 'kl-row' }, this.title, this.bar, this.told, this.asOf);
    const acts = h('div', { class: 'kl-row kl-sweep-acts' }, ...Object.values(this.buttons), this.outcome);
    this.element = h('section', { class: 'kl-sweep', 'aria-label': t('Sweep %1', options.sweepId) }, head, acts, this.problem, this.place, this.below);
    setText(this.title, t('Sweep %1', options.sweepId));
    setText(this.told, t('Loading…'));
    parent.append(this.element);
    const refused = (problem: Refusal): void => {
      if (this.info === null) setText(this.told, problem.problem.status === 404 && problem.kind !== 'sweep-not-started' ? t('None of its runs is in the log yet.') : problem.message);
    };
    const answered = (): void => {
      this.answered = Date.now();
    };
    const everyMs = (): number => (this.info === null || this.going(this.info) ? BUSY_MS : IDLE_MS);
    this.wake = poll(source, () => source.sweepPath(options.sweepId), (data) => this.draw(data as SweepInfo), signal, { everyMs, refused, answered });
    source.connection.watch(() => this.stale(), signal);
    options.selected?.watch((id) => this.show(id), signal);
    const timer = setInterval(() => this.tick(), 1000);
    signal.addEventListener('abort', () => {
      clearInterval(timer);
      this.open.controller.abort();
      this.element.remove();
    }, { once: true });
  }

  private going(info: SweepInfo): boolean {
    return info.starting || STATUSES.some((status) => !TERMINAL.includes(status) && info.counts[status]);
  }

  private draw(info: SweepInfo): void {
    this.info = info;
    setText(this.title, t('Sweep %1 of %2', info.id, info.flow));
    const ended = TERMINAL.reduce((sum, status) => sum + (info.counts[status] ?? 0), 0);
    this.bar.max = Math.max(1, info.total);
    this.bar.value = ended;
    const parts = [...STATUSES, 'waiting'].filter((status) => info.counts[status]).map((status) => `${count(info.counts[status]!)} ${t(status)}`);
    setText(this.told, t('%1 of %2: %3', count(ended), count(info.total), parts.join(', ')));
    const failed = FAILED.some((status) => info.counts[status]);
    this.buttons.cancel.hidden = !this.going(info);
    this.buttons.rerun.hidden = !failed || info.starting;
    this.buttons.resume.hidden = info.starting || !info.counts['waiting'];
    setText(this.problem, info.failure === '' ? '' : t('The rest was not started: %1', info.failure));
    this.problem.hidden = info.failure === '';
    this.body(info);
    this.stale();
  }

  private stale(): void {
    const lost = this.source.connection.get() === 'lost';
    this.element.classList.toggle('kl-stale', lost);
    setText(this.asOf, lost ? `${lostWords(this.source)}${this.answered === null ? '' : t(' This is how it was at %1.', clock(this.answered).slice(0, 8))}` : '');
  }

  private tick(): void {
    for (const cell of this.cells.values()) cell.times();
  }

  // -- the grid, or the list

  private body(info: SweepInfo): void {
    const grid = gridOf(info);
    // a list only grows; in a grid each has its place from the start
    const shape = JSON.stringify(grid ? [info.over, grid.ups, grid.sides] : info.over);
    if (shape !== this.shape) {
      this.shape = shape;
      this.cells = new Map();
      fill(this.place, grid ? this.grid(info, grid) : this.list(info));
    }
    if (!grid) this.grow(info);
    for (const row of info.rows) this.cells.get(row.index)?.draw(row, row.run_id !== null && row.run_id === this.open.id);
  }

  private cell(row: SweepRow, info: SweepInfo, full: boolean): Cell {
    const named = info.over.map((name) => `${name} ${row.inputs[name] ?? ''}`).join(', ');
    const cell = new Cell(named, full, !this.host.openRun, (id) => this.choose(id));
    this.cells.set(row.index, cell);
    return cell;
  }

  private grid(info: SweepInfo, { ups, sides, at }: Grid): HTMLTableElement {
    const [down, across] = info.over as [string, string];
    const head = h('tr', {}, h('th', { text: `${down} ↓  ${across} →` }), ...sides.map((side) => h('th', { scope: 'col', text: side, title: side })));
    const body = h('tbody', {});
    for (const up of ups) {
      const cells = sides.map((side) => h('td', {}, this.cell(at.get(JSON.stringify([up, side]))!, info, false).button));
      body.append(h('tr', {}, h('th', { scope: 'row', text: up, title: up }), ...cells));
    }
    return h('table', { class: 'kl-sweep-grid', 'aria-label': t('%1 by %2', down, across) }, h('thead', {}, head), body);
  }

  private list(info: SweepInfo): HTMLElement {
    this.lines.replaceChildren();
    const names = [...info.over, t('Status'), t('Run'), t('Result')];
    const head = h('tr', {}, h('th', { class: 'kl-sweep-index', text: '#' }), ...names.map((name) => h('th', { scope: 'col', text: name })));
    return h('div', {}, h('table', { class: 'kl-sweep-list', 'aria-label': t('Combinations') }, h('thead', {}, head), this.lines), this.more);
  }

  /** Rows of combinations that are not in the list yet, each at its place. */
  private grow(info: SweepInfo): void {
    for (const row of info.rows.slice(0, LISTED)) {
      if (this.cells.has(row.index)) continue;
      const cell = this.cell(row, info, true);
      const given = info.over.map((name) => h('td', { class: 'kl-sweep-input', text: row.inputs[name] ?? '', title: row.inputs[name] ?? '' }));
      const line = h('tr', { 'data-index': row.index }, h('th', { class: 'kl-sweep-index', scope: 'row', text: row.index }), ...given,
        h('td', {}, cell.button), h('td', {}, cell.run), h('td', { class: 'kl-sweep-result' }, cell.result));
      const after = [...this.lines.rows].find((other) => Number(other.dataset['index']) > row.index);
      this.lines.insertBefore(line, after ?? null);
    }
    const more = info.total - this.cells.size;
    setText(this.more, more > 0 ? t('and %1 more; sweep.frame() has all', count(more)) : '');
  }

  // -- what is done

  private choose(id: string): void {
    if (this.host.openRun) this.host.openRun(id);
    else if (this.options.selected) this.options.selected.set(this.open.id === id ? '' : id);
    else this.show(this.open.id === id ? '' : id);
  }

  private show(id: string): void {
    if (id === this.open.id) return;
    this.open.controller.abort();
    this.open = { id, controller: new AbortController() };
    fill(this.below);
    if (id !== '' && this.options.expand) this.options.expand(this.below, id, this.open.controller.signal);
    if (this.info) this.body(this.info);
  }

  private button(what: 'cancel' | 'rerun' | 'resume', text: string): HTMLButtonElement {
    const button = h('button', { type: 'button', class: 'kl-btn', text, hidden: true });
    button.addEventListener('click', () => void this.act(what));
    return button;
  }

  private async act(what: 'cancel' | 'rerun' | 'resume'): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    for (const button of Object.values(this.buttons)) button.disabled = true;
    setText(this.outcome, { cancel: t('Cancelling…'), rerun: t('Starting…'), resume: t('Starting…') }[what]);
    try {
      const runs = await this.source.actOnSweep(this.options.sweepId, what);
      setText(this.outcome, what === 'cancel' ? tn('%1 run cancelled; no more are started', '%1 runs cancelled; no more are started', runs) : tn('%1 run begun', '%1 runs begun', runs));
    } catch (error) {
      setText(this.outcome, error instanceof Error ? error.message : String(error));
    }
    this.busy = false;
    for (const button of Object.values(this.buttons)) button.disabled = false;
    this.wake();
  }
}

/** How one combination stands. */
class Cell {
  readonly button = h('button', { type: 'button', class: 'kl-sweep-cell' });
  readonly run = h('code', { class: 'kl-mono kl-muted' });
  readonly result = h('span', {});
  private readonly status = h('span', { class: 'kl-status' });
  private readonly time = h('span', { class: 'kl-sweep-time' });
  private readonly bar = h('progress', { max: 1, hidden: true });
  private row: SweepRow | null = null;

  constructor(private readonly named: string, private readonly full: boolean, private readonly expands: boolean, chosen: (id: string) => void) {
    this.button.append(this.status, this.time, this.bar);
    this.button.addEventListener('click', () => {
      if (this.row?.run_id) chosen(this.row.run_id);
    });
  }

  draw(row: SweepRow, open: boolean): void {
    this.row = row;
    const status = t(row.status ?? later('waiting'));
    this.status.dataset['status'] = row.status ?? 'cancelled';
    setText(this.status, status);
    this.button.disabled = row.run_id === null;
    if (this.expands) this.button.setAttribute('aria-expanded', String(open));
    const going = row.progress !== null && (row.status === 'running' || row.status === 'awaiting');
    this.bar.hidden = !going;
    if (going) this.bar.value = row.progress!;
    const said = row.error || (row.status === 'finished' && row.result !== 'null' ? (row.result ?? '') : '');
    this.button.title = said.slice(0, 1000);
    this.button.setAttribute('aria-label', `${this.named}: ${status}${said && !this.full ? `, ${said.slice(0, 200)}` : ''}`);
    setText(this.run, row.run_id === null ? '' : shortId(row.run_id));
    this.run.title = row.run_id ?? '';
    setText(this.result, said.slice(0, 300));
    this.result.title = said.slice(0, 2000);
    this.result.classList.toggle('kl-sweep-error', !!row.error);
    this.times();
  }

  times(now: number = Date.now()): void {
    const row = this.row;
    if (!row) return;
    const since = row.running === null ? null : ((row.ended === null ? now : Date.parse(row.ended)) - Date.parse(row.running)) / 1000;
    setText(this.time, since === null ? '' : duration(Math.max(0, since)));
  }
}

interface Grid {
  ups: string[];
  sides: string[];
  at: Map<string, SweepRow>;
}

/** Rows and columns, where each of two inputs' values is with each of the other's. */
function gridOf(info: SweepInfo): Grid | null {
  const [down, across] = info.over;
  if (info.zipped || info.over.length !== 2 || info.rows.length < info.total || down === undefined || across === undefined || info.total > GRID) return null;
  const at = new Map(info.rows.map((row) => [JSON.stringify([row.inputs[down] ?? '', row.inputs[across] ?? '']), row]));
  const ups = [...new Set(info.rows.map((row) => row.inputs[down] ?? ''))];
  const sides = [...new Set(info.rows.map((row) => row.inputs[across] ?? ''))];
  return at.size === info.rows.length && ups.length * sides.length === info.rows.length ? { ups, sides, at } : null;
}
