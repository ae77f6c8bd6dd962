// The list of runs: filtered, sorted and paged by the gateway, live, and still while it is read.

import type { RunQuery, Source } from '../sources/source.ts';
import { Value } from '../sources/value.ts';
import type { RunRow } from '../wire.ts';
import { COMPARE_CSS } from './compare.ts';
import { lostWords } from './controls.ts';
import { fill, h, setText } from './dom.ts';
import { clock, count, plural } from './format.ts';
import type { Host } from './host.ts';
import { Bulk } from './runs/bulk.ts';
import { Compared } from './runs/compared.ts';
import { RUNS_STYLE } from './runs/css.ts';
import { Filters } from './runs/filters.ts';
import { RunList, type Shown } from './runs/list.ts';
import { COLUMNS, Row } from './runs/row.ts';
import { Selection } from './runs/selection.ts';
import { language, t } from './words.ts';

export const RUNS_CSS = RUNS_STYLE + COMPARE_CSS;

export interface RunsOptions {
  /** What is asked for; set as the person filters and sorts. */
  query?: Value<RunQuery> | RunQuery;
  /** Ids of the chosen runs, over all pages. */
  selected?: Value<string[]>;
  /** Show several runs side by side. */
  compare?(ids: string[]): void;
  /** Show them side by side here, below the list, with the Python that does it. */
  comparing?: boolean;
  /** Draw a run below its row, where the host opens none. */
  expand?(parent: HTMLElement, runId: string, signal: AbortSignal): void;
  /** Rows of a page. */
  limit?: number;
}

const NEWEST = '-started';
const SIZES = [25, 50, 100, 200];

export function mountRuns(parent: HTMLElement, source: Source, options: RunsOptions, signal: AbortSignal, host: Host): void {
  new Runs(parent, source, options, signal, host);
}

class Runs {
  private readonly element = h('section', { class: 'kl-runs', 'aria-label': t('Runs'), 'data-lm-suppress-shortcuts': 'true' });
  private readonly query: Value<RunQuery>;
  private readonly selection: Selection;
  private readonly list: RunList;
  private readonly filters: Filters;
  private readonly bulk: Bulk;
  private readonly compared: Compared;
  private readonly rows = new Map<string, Row>();
  private readonly details = new Map<string, { row: HTMLTableRowElement; controller: AbortController }>();
  private readonly seen = new Map<string, RunRow>();
  /** While the pointer is in here, rows do not move: also on its way to what lets new ones in. */
  private readonly still = h('div', {});
  private readonly sentinel = h('div', { class: 'kl-runs-sentinel' });
  private readonly total = h('span', { class: 'kl-muted', role: 'status' });
  private readonly told = h('span', { class: 'kl-muted' });
  private readonly pill = h('button', { type: 'button', class: 'kl-runs-pill', hidden: true });
  private readonly problem = h('p', { class: 'kl-problem', hidden: true });
  private readonly table: HTMLTableElement;
  private readonly head = h('tr', { role: 'row' });
  private readonly body = h('tbody', { role: 'rowgroup' });
  private readonly all = h('input', { type: 'checkbox', 'aria-label': t('Select all runs on this page') });
  private readonly empty = h('div', { class: 'kl-empty', hidden: true });
  private readonly order: HTMLSelectElement;
  private readonly first = pageButton(t('First'));
  private readonly back = pageButton(t('Previous'));
  private readonly forward = pageButton(t('Next'));
  private readonly size = h('select', { 'aria-label': t('Runs a page') });
  private over = false;
  private atTop = true;

  constructor(
    parent: HTMLElement, private readonly source: Source, private readonly options: RunsOptions, private readonly signal: AbortSignal, private readonly host: Host,
  ) {
    if (source.readOnly !== null) this.element.dataset['frozen'] = 'true';
    this.query = options.query instanceof Value ? options.query : new Value<RunQuery>(options.query ?? {});
    this.selection = new Selection(options.selected ?? new Value<string[]>([]));
    this.list = new RunList(source, this.query, () => this.held(), signal, options.limit);
    const rolling = (ms: number | null): void => {
      this.list.rollingMs = ms;
    };
    this.filters = new Filters(this.query, rolling, source, signal);
    const compare = options.compare?.bind(options);
    this.compared = new Compared(source, host, signal, () => this.bulk.focus());
    const comparison = options.comparing ? (ids: string[]): void => this.compared.show(ids) : undefined;
    const statusOf = (id: string): RunRow['status'] | undefined => this.seen.get(id)?.status;
    this.bulk = new Bulk(source, this.selection, { compare, comparison, statusOf, done: () => this.list.refresh() }, host, signal);
    this.order = this.orders();
    this.table = h('table', { role: 'table', 'aria-label': t('Runs') }, h('thead', { role: 'rowgroup' }, this.head), this.body);
    this.draw(parent);
    this.listen();
    this.list.shown.watch((shown) => this.show(shown), signal);
    this.selection.ids.watch(() => this.choose(), signal);
    this.query.watch((asked) => this.sorted(asked.sort ?? NEWEST), signal);
    source.connection.watch(() => this.say(), signal);
    signal.addEventListener('abort', () => this.end(), { once: true });
  }

  private draw(parent: HTMLElement): void {
    this.head.append(h('th', { class: 'kl-runs-box', role: 'columnheader' }, h('label', {}, this.all)));
    for (const column of COLUMNS) {
      const button = column.sort && h('button', { type: 'button', class: 'kl-runs-sort', text: t(column.title), 'data-sort': column.sort, title: column.hint && t(column.hint) });
      this.head.append(h('th', { class: `kl-runs-${column.key}`, role: 'columnheader', scope: 'col' }, button ?? t(column.title)));
    }
    const limit = this.list.size;
    for (const size of [...new Set([...SIZES, limit])].sort((a, b) => a - b)) {
      this.size.append(h('option', { value: size, text: t('%1 a page', size), selected: size === limit }));
    }
    this.element.append(
      this.filters.element,
      h('div', { class: 'kl-row kl-runs-line' }, this.total, this.bulk.element, h('span', { class: 'kl-grow' }), this.order),
      this.compared.element,
      this.still,
      this.empty,
      h('nav', { class: 'kl-row kl-runs-pager', 'aria-label': t('Pages') }, this.first, this.back, this.forward, this.told, h('span', { class: 'kl-grow' }), this.size),
    );
    this.still.append(this.sentinel, h('div', { class: 'kl-runs-pills' }, this.pill), this.problem, h('div', { class: 'kl-runs-scroll' }, this.table));
    parent.append(this.element);
  }

  /** What has no header to click, in narrow places, is sorted by this. */
  private orders(): HTMLSelectElement {
    const made = h('select', { class: 'kl-runs-order', 'aria-label': t('Order') });
    const names: [string, string][] = COLUMNS.flatMap(({ title, sort }): [string, string][] => (sort ? [[sort, t(title).toLocaleLowerCase(language())]] : []));
    for (const [sort, title] of [...names, ['updated', t('last event')], ['ended', t('end')], ['events', t('events')]] as [string, string][]) {
      made.append(h('option', { value: `-${sort}`, text: t('by %1, last first', title) }), h('option', { value: sort, text: t('by %1', title) }));
    }
    made.addEventListener('change', () => this.query.set({ ...this.query.get(), sort: made.value }));
    return made;
  }

  private listen(): void {
    const { signal } = this;
    this.head.addEventListener('click', (event) => {
      const sort = (event.target as HTMLElement).closest<HTMLElement>('[data-sort]')?.dataset['sort'];
      if (sort === undefined) return;
      const now = this.query.get().sort ?? NEWEST;
      // times and amounts begin with the last and the largest, words with A
      const first = ['started', 'active_s'].includes(sort) ? `-${sort}` : sort;
      const other = first === sort ? `-${sort}` : sort;
      this.query.set({ ...this.query.get(), sort: now === first ? other : first });
    });
    this.body.addEventListener('click', (event) => this.clicked(event));
    this.body.addEventListener('keydown', (event) => this.moved(event));
    this.still.addEventListener('pointerenter', () => (this.over = true));
    this.still.addEventListener('pointerleave', () => {
      this.over = false;
      this.release();
    });
    this.body.addEventListener('focusout', () => queueMicrotask(() => this.release()));
    this.all.addEventListener('change', () => this.selection.many(this.list.shown.get().rows.map((row) => row.run_id), this.all.checked));
    this.pill.addEventListener('click', () => {
      this.list.catchUp();
      this.sentinel.scrollIntoView({ block: 'nearest' });
    });
    this.first.addEventListener('click', () => this.list.restart());
    this.back.addEventListener('click', () => this.list.back());
    this.forward.addEventListener('click', () => this.list.forward());
    this.size.addEventListener('change', () => this.list.resize(Number(this.size.value)));
    document.addEventListener('keydown', (event) => this.shortcut(event), { signal });
    if (typeof IntersectionObserver === 'function') {
      const observer = new IntersectionObserver((entries) => {
        this.atTop = entries.at(-1)?.isIntersecting ?? true;
        this.release();
      });
      observer.observe(this.sentinel);
      signal.addEventListener('abort', () => observer.disconnect(), { once: true });
    }
    const timer = setInterval(() => {
      const now = Date.now();
      for (const row of this.rows.values()) row.times(now);
    }, 1000);
    signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  }

  private held(): boolean {
    const place = this.element.getRootNode() as Document | ShadowRoot;
    return this.over || !this.atTop || this.details.size > 0 || this.body.contains(place.activeElement);
  }

  private release(): void {
    if (!this.signal.aborted && !this.held()) this.list.released();
  }

  // -- what is shown

  private show(shown: Shown): void {
    const ids = new Set(shown.rows.map((row) => row.run_id));
    for (const [id, row] of this.rows) {
      if (ids.has(id)) continue;
      this.collapse(id);
      row.element.remove();
      this.rows.delete(id);
    }
    let after: Element | null = null;
    for (const data of shown.rows) {
      const row = this.rowOf(data);
      row.draw(data, shown.gone.has(data.run_id));
      this.seen.set(data.run_id, data);
      const next: Element | null = after ? after.nextElementSibling : this.body.firstElementChild;
      if (next !== row.element) this.body.insertBefore(row.element, next);
      after = row.element;
      const detail = this.details.get(data.run_id)?.row;
      if (detail && row.element.nextElementSibling !== detail) row.element.after(detail);
      if (detail) after = detail;
    }
    this.filters.offer(shown.rows);
    this.choose();
    this.paging(shown);
    this.say();
  }

  private rowOf(data: RunRow): Row {
    let row = this.rows.get(data.run_id);
    if (!row) {
      row = new Row(data, !this.host.openRun, this.source.readOnly !== null);
      row.choose(this.selection.has(data.run_id));
      this.rows.set(data.run_id, row);
    }
    return row;
  }

  private paging(shown: Shown): void {
    const { page, rows, total, more, waiting, fresh, problem } = shown;
    this.first.disabled = this.back.disabled = page === 0;
    this.forward.disabled = !more || waiting;
    this.element.classList.toggle('kl-waiting', waiting);
    this.table.setAttribute('aria-busy', String(waiting));
    setText(this.pill, t('%1 new', fresh >= 1000 ? t('Over 1,000') : count(fresh)));
    this.pill.hidden = fresh === 0;
    setText(this.problem, problem ?? '');
    this.problem.hidden = problem === null;
    const none = rows.length === 0 && !waiting && problem === null;
    this.empty.hidden = !none;
    this.table.hidden = none;
    if (none && page === 0) this.nothing(total);
  }

  private nothing(total: number): void {
    if (this.filters.active) {
      const clear = h('button', { type: 'button', class: 'kl-btn', text: t('Clear filters'), onclick: () => this.filters.reset() });
      fill(this.empty, h('p', { text: t('No run fits these filters.') }), clear);
    } else if (total === 0) {
      fill(this.empty, h('p', { text: t('No runs yet.') }), h('p', { text: t('Launch a flow, and it shows up here by itself.') }));
    }
  }

  private say(): void {
    const { rows, total, page, waiting } = this.list.shown.get();
    const lost = this.source.connection.get() === 'lost';
    this.element.classList.toggle('kl-stale', lost);
    const start = page * this.list.size;
    const asOf = this.list.contact === null ? '' : t(' This is how it was at %1.', clock(this.list.contact).slice(0, 8));
    setText(this.total, lost ? `${lostWords(this.source)}${asOf}` : waiting && rows.length === 0 ? t('Loading…') : plural(total, 'run'));
    setText(this.told, rows.length === 0 ? '' : t('%1–%2 of %3', count(start + 1), count(start + rows.length), count(total)));
  }

  private sorted(sort: string): void {
    this.order.value = sort;
    for (const button of this.head.querySelectorAll<HTMLElement>('[data-sort]')) {
      const name = button.dataset['sort'];
      const way = sort === name ? 'ascending' : sort === `-${name ?? ''}` ? 'descending' : null;
      if (way) button.parentElement!.setAttribute('aria-sort', way);
      else button.parentElement!.removeAttribute('aria-sort');
    }
  }

  private choose(): void {
    const chosen = new Set(this.selection.ids.get());
    let on = 0;
    for (const [id, row] of this.rows) {
      row.choose(chosen.has(id));
      if (chosen.has(id)) on++;
    }
    this.all.checked = on > 0 && on === this.rows.size;
    this.all.indeterminate = on > 0 && on < this.rows.size;
    this.bulk.draw();
  }

  // -- what is done

  private clicked(event: MouseEvent): void {
    const target = event.target as HTMLElement;
    const line = target.closest<HTMLElement>('tr[data-id]');
    const id = line?.dataset['id'];
    if (!line || id === undefined) return;
    if (target.closest('.kl-runs-box')) {
      // a click on the label comes again, as one on the box
      if (target instanceof HTMLInputElement) this.selection.set(id, target.checked, [...this.list.shown.get().rows.map((row) => row.run_id)], event.shiftKey);
      else if (event.shiftKey) getSelection()?.removeAllRanges();
      return;
    }
    if ((getSelection()?.toString() ?? '') !== '' && !target.closest('button')) return; // somebody copies a text
    this.openRun(id);
  }

  private openRun(id: string): void {
    if (this.host.openRun) this.host.openRun(id);
    else if (this.details.has(id)) this.collapse(id);
    else this.expand(id);
  }

  private expand(id: string): void {
    const row = this.rows.get(id);
    if (!row) return;
    const controller = new AbortController();
    this.signal.addEventListener('abort', () => controller.abort(), { once: true, signal: controller.signal });
    const place = h('div', { class: 'kl-runs-detail' });
    const line = h('tr', { class: 'kl-runs-expanded', role: 'row' }, h('td', { colspan: COLUMNS.length + 1, role: 'cell' }, place));
    row.element.after(line);
    this.details.set(id, { row: line, controller });
    row.opener.setAttribute('aria-expanded', 'true');
    if (this.options.expand) this.options.expand(place, id, controller.signal);
    else fill(place, h('pre', { class: 'kl-mono', text: JSON.stringify(this.seen.get(id), null, 2) }));
  }

  private collapse(id: string): void {
    const detail = this.details.get(id);
    if (!detail) return;
    this.details.delete(id);
    detail.controller.abort();
    detail.row.remove();
    this.rows.get(id)?.opener.setAttribute('aria-expanded', 'false');
    this.release();
  }

  private moved(event: KeyboardEvent): void {
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    const line = (event.target as HTMLElement).closest<HTMLElement>('tr[data-id]');
    if (step === 0 || !line) return;
    const order = this.list.shown.get().rows.map((row) => row.run_id);
    const to = this.rows.get(order[order.indexOf(line.dataset['id']!) + step] ?? '');
    if (!to) return;
    event.preventDefault();
    (event.target instanceof HTMLInputElement ? to.box : to.opener).focus();
  }

  /** `/` goes to the search where nobody is typing; of several lists, to the one that has the focus, else the first. */
  private shortcut(event: KeyboardEvent): void {
    if (event.key !== '/' || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const path = event.composedPath();
    const target = path[0];
    if (target instanceof HTMLElement && (target.isContentEditable || target.matches('input:not([type=checkbox]), textarea, select'))) return;
    if (target !== document.body && target !== document.documentElement && !path.includes(this.element)) return;
    event.preventDefault();
    this.filters.focus();
  }

  private end(): void {
    for (const id of [...this.details.keys()]) this.collapse(id);
    this.element.remove();
  }
}

function pageButton(text: string): HTMLButtonElement {
  return h('button', { type: 'button', class: 'kl-btn', text, disabled: true });
}
