// A grid, a page of rows at a time: sorted by its heads, downloaded as CSV. Its controls stand above
// the rows and columns never get narrower, so that nothing moves under the pointer.

import { fill, h, setText } from '../dom.ts';
import { count, plural } from '../format.ts';
import { type Grid, type GridColumn, csv, sorted } from './grid.ts';
import { download } from '../host.ts';
import { t } from '../words.ts';

const SIZES = [10, 25, 100];
/** Tables up to this many rows are shown whole. */
const SMALL = 12;
const CELL = 200;

export function mountTable(parent: HTMLElement, grid: Grid, name: string): void {
  let page = 0;
  let size = grid.rows <= SMALL ? SMALL : SIZES[0]!;
  let order: { column: number; descending: boolean; rows: Uint32Array } | null = null;

  const body = h('tbody');
  const heads = grid.columns.map((column, i) => head(column, () => sort(i)));
  const scroller = h(
    'div', { class: 'kl-table-scroll', tabindex: '0', role: 'group', 'aria-label': t('%1: rows', name) },
    h('table', { class: 'kl-table' }, h('thead', {}, h('tr', {}, ...heads)), body),
  );
  const where = h('span', { class: 'kl-table-where', role: 'status' });
  const step = (by: number, label: string, sign: string): HTMLButtonElement =>
    h('button', { type: 'button', class: 'kl-btn', 'aria-label': label, text: sign, onclick: () => show(page + by) });
  const [back, on] = [step(-1, t('Previous page'), '‹'), step(1, t('Next page'), '›')];
  const sizes = h('select', { 'aria-label': t('Rows per page'), onchange: () => resize() }, ...SIZES.map((n) => h('option', { value: n, text: t('%1 rows', n) })));
  const pager = h('span', { class: 'kl-row kl-table-pager' }, back, where, on, sizes);
  pager.hidden = grid.rows <= SMALL;
  const save = h('button', { type: 'button', class: 'kl-link', text: t('Download CSV'), onclick: () => download(`${name}.csv`, csv(grid)) });
  const shape = `${plural(grid.rows, 'row')} × ${plural(grid.columns.length, 'column')}`;
  const bar = h('div', { class: 'kl-row kl-table-bar' }, h('span', { class: 'kl-muted', text: shape }), pager, h('span', { class: 'kl-grow' }), save);
  parent.append(h('div', { class: 'kl-table-box', role: 'group', 'aria-label': `${name}, ${shape}` }, bar, scroller));
  show(0);

  function show(next: number): void {
    const pages = Math.max(1, Math.ceil(grid.rows / size));
    page = Math.min(Math.max(0, next), pages - 1);
    const [from, to] = [page * size, Math.min(grid.rows, (page + 1) * size)];
    fill(body, ...Array.from({ length: to - from }, (_, i) => rowOf(grid, order ? order.rows[from + i]! : from + i)));
    setText(where, grid.rows === 0 ? t('no rows') : t('%1–%2 of %3', count(from + 1), count(to), count(grid.rows)));
    [back.disabled, on.disabled] = [page === 0, page === pages - 1];
    for (const cell of heads) if (cell.offsetWidth > 0) cell.style.minWidth = `${cell.offsetWidth}px`;
  }

  function sort(column: number): void {
    const again = order?.column === column;
    const descending = again && !order!.descending;
    order = again && order!.descending ? null : { column, descending, rows: sorted(grid, grid.columns[column]!, descending) };
    for (const [i, cell] of heads.entries()) {
      if (order?.column === i) cell.setAttribute('aria-sort', order.descending ? 'descending' : 'ascending');
      else cell.removeAttribute('aria-sort');
    }
    show(0);
  }

  function resize(): void {
    const first = page * size;
    size = Number(sizes.value);
    show(Math.floor(first / size));
  }
}

function head(column: GridColumn, sort: () => void): HTMLTableCellElement {
  const button = h('button', { type: 'button', title: t('%1 (%2); click to sort', column.name, column.type), onclick: sort }, column.name || '#');
  return h('th', { scope: 'col', class: column.numeric ? 'kl-number' : '' }, button);
}

function rowOf(grid: Grid, row: number): HTMLTableRowElement {
  return h('tr', {}, ...grid.columns.map((column) => {
    const value = column.at(row);
    if (value === null || value === undefined) return h('td', { class: `kl-none${column.numeric ? ' kl-number' : ''}`, text: t('null') });
    const text = column.text(value, false);
    const whole = column.text(value, true);
    const title = whole !== text || text.length > 40 ? whole.slice(0, 2000) : undefined;
    return h('td', { class: column.numeric ? 'kl-number' : '', title, text: text.slice(0, CELL) });
  }));
}

export const TABLE_CSS = `
.kl .kl-table-bar { min-height: 30px; gap: 2px 12px; font-size: .92em; }
.kl .kl-table-pager { gap: 4px; flex-wrap: nowrap; font-variant-numeric: tabular-nums; }
.kl .kl-table-pager button.kl-btn { padding: 0 8px; }
.kl .kl-table-where { min-width: 8.5em; text-align: center; white-space: nowrap; }
.kl .kl-table-scroll { overflow: auto; max-height: min(480px, 70vh); border: 1px solid var(--kl-border); border-radius: 4px; width: fit-content; max-width: 100%; }
.kl .kl-table { border-collapse: separate; border-spacing: 0; font-variant-numeric: tabular-nums; white-space: pre; line-height: 1.35; }
.kl .kl-table th { position: sticky; top: 0; z-index: 1; padding: 0; background: var(--kl-bg2); border-bottom: 1px solid var(--kl-border); text-align: start; }
.kl .kl-table th button { width: 100%; border: 0; background: none; padding: 4px 10px; font-weight: 600; text-align: inherit; cursor: pointer; white-space: nowrap; }
.kl .kl-table th:not(.kl-number) button::after, .kl .kl-table th.kl-number button::before { content: '↕'; content: '↕' / ''; opacity: 0; margin-inline: 4px; }
.kl .kl-table th button:is(:hover, :focus-visible)::before, .kl .kl-table th button:is(:hover, :focus-visible)::after { opacity: .5; }
.kl .kl-table th[aria-sort=ascending] button::before, .kl .kl-table th[aria-sort=ascending] button::after { content: '↑'; content: '↑' / ''; opacity: 1; }
.kl .kl-table th[aria-sort=descending] button::before, .kl .kl-table th[aria-sort=descending] button::after { content: '↓'; content: '↓' / ''; opacity: 1; }
.kl .kl-table th:not(.kl-number) button::before, .kl .kl-table th.kl-number button::after { content: none; }
.kl .kl-table th button:focus-visible { outline-offset: -2px; }
.kl .kl-table td { padding: 3px 10px; max-width: 320px; overflow: hidden; text-overflow: ellipsis; border-bottom: 1px solid color-mix(in srgb, var(--kl-border) 55%, transparent); }
.kl .kl-table tr:last-child td { border-bottom: 0; }
.kl .kl-table tbody tr:hover { background: var(--kl-bg2); }
.kl .kl-table .kl-number { text-align: end; }
.kl .kl-table .kl-none { color: var(--kl-fg2); font-style: italic; }
`;
