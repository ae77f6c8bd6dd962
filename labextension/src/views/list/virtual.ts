// A list of very many rows of which only those in sight exist as elements. They lie in the
// normal flow of one layer, in order, so that selecting text goes from row to row; the layer
// is moved to where they belong. Rows may have heights of their own, known once they were drawn.

import { coalesced, h } from '../dom.ts';
import { Heights, type Place } from './heights.ts';
import { RowPool } from './rows.ts';
import { Value } from '../../sources/value.ts';

/** Chromium draws nothing below 33.5 million pixels, Firefox below 17.8. */
const TALLEST = 15_000_000;
/** Rows drawn above and below what is in sight, in pixels. */
const BEYOND = 240;
/** How long the scroll bar rests before it is put where it belongs. */
const REST_MS = 160;

export interface ListOptions {
  label: string;
  /** `log` is read like a text, `grid` has a current row that the arrows move. */
  role: 'log' | 'grid';
  /** Pixels of a row, or of most rows. */
  rowHeight: number;
  /** Rows may differ in height: measure them when they are drawn. */
  measured?: boolean;
  /** Be no taller than the rows are; the style sheet says how tall at most. */
  fit?: boolean;
  total(): number;
  /** These rows are about to be seen. */
  want?(first: number, last: number): void;
  /** Fill the element of a row; false while its content is not here. */
  draw(row: HTMLElement, index: number): boolean;
  /** The current row has changed, by key or click; `open` on Enter and double click. */
  onCurrent?(index: number, open: boolean): void;
  /** The row with the names of a grid's columns; it stays on top. */
  header?: HTMLElement;
}

export class VirtualList {
  readonly element: HTMLElement;
  /** Whether the list stays at its end when rows come. */
  readonly following = new Value(false);
  /** The current row of a grid, or -1. */
  readonly current = new Value(-1);
  /** Counts up whenever it was drawn. */
  readonly drawn = new Value(0);
  readonly layer: HTMLElement;

  private readonly spacer: HTMLElement;
  private readonly heights: Heights;
  private readonly rows: RowPool;
  private readonly ask: () => void;
  private anchor: Place = { index: 0, offset: 0 };
  /** Real position less the one in the list: not 0 where the list is taller than an element can be. */
  private shift = 0;
  private scrolled = 0;
  private spaced = -1;
  /** The widest row seen, so that scrolling down does not change how far one scrolls sideways. */
  private widest = 0;
  private fit = -1;
  private resting: ReturnType<typeof setTimeout> | undefined;

  constructor(
    parent: HTMLElement,
    private readonly options: ListOptions,
    private readonly signal: AbortSignal,
  ) {
    this.heights = new Heights(options.rowHeight);
    this.layer = h('div', { class: 'kl-list-layer', role: options.role === 'grid' ? 'presentation' : undefined });
    this.spacer = h('div', { class: 'kl-list-space', role: options.role === 'grid' ? 'rowgroup' : undefined }, this.layer);
    const named = { class: 'kl-list', tabindex: 0, role: options.role, 'aria-label': options.label };
    this.element = h('div', named, options.header, this.spacer);
    options.header?.classList.add('kl-list-head');
    if (options.role === 'log') this.element.setAttribute('aria-live', 'off');
    parent.append(this.element);
    this.rows = new RowPool(this.layer, options.role === 'grid', options.header ? 2 : 1, (row, index) => options.draw(row, index));
    this.ask = coalesced(() => this.draw(), signal);
    this.listen();
    this.ask();
  }

  /** Rows were added or have arrived. */
  refresh(): void {
    this.ask();
  }

  /** What rows show has changed: draw all of them anew. */
  redraw(): void {
    this.rows.stale();
    this.ask();
  }

  /** Heights are others now, as when lines are wrapped; the row on top stays there. */
  resized(): void {
    this.heights.clear();
    this.widest = 0;
    this.spacer.style.minWidth = '';
    this.redraw();
  }

  /** A row that is shown has changed its height. */
  remeasure(): void {
    this.ask();
  }

  follow(on: boolean): void {
    this.following.set(on);
    if (on) this.ask();
  }

  /** Bring a row into sight: on top, in the middle, or only as far as needed. */
  show(index: number, where: 'top' | 'middle' | 'near' = 'near'): void {
    this.following.set(false);
    const [top, height, inside] = [this.heights.top(index), this.heights.of(index), this.inside()];
    const at = this.heights.top(this.anchor.index) + this.anchor.offset;
    let target = at;
    if (where === 'top') target = top;
    else if (where === 'middle') target = top - Math.max(0, inside - height) / 2;
    else if (top < at) target = top;
    else if (top + height > at + inside) target = top + height - inside;
    this.moveTo(target);
  }

  /** Move the current row of a grid. */
  select(index: number, open = false): void {
    const total = this.options.total();
    if (total === 0) return;
    const at = Math.max(0, Math.min(total - 1, index));
    this.current.set(at);
    this.show(at);
    this.options.onCurrent?.(at, open);
  }

  /** Forget the current row: the rows are others now. */
  deselect(): void {
    this.current.set(-1);
    this.redraw();
  }

  /** The row that an element or text inside the list belongs to, or -1. */
  rowOf(node: Node | null): number {
    return this.rows.of(node);
  }

  /** First and last row in sight. */
  inSight(): [number, number] {
    const top = this.heights.top(this.anchor.index) + this.anchor.offset;
    const total = this.options.total();
    return [this.anchor.index, this.heights.at(top + this.inside() - 1, total).index];
  }

  /** Pixels in which rows are seen. */
  private inside(): number {
    return this.element.clientHeight - (this.options.header?.offsetHeight ?? 0);
  }

  private listen(): void {
    const { signal } = this;
    const options = { signal, passive: true };
    this.element.addEventListener('scroll', () => this.onScroll(), options);
    this.element.addEventListener('wheel', (event) => event.deltaY < 0 && !event.ctrlKey && this.leaveEnd(), options);
    this.element.addEventListener('keydown', (event) => this.onKey(event), { signal });
    if (this.options.role === 'grid') {
      const clicked = (open: boolean) => (event: Event): void => {
        const index = this.rowOf(event.target as Node);
        if (index >= 0) this.select(index, open);
      };
      this.element.addEventListener('click', clicked(false), { signal });
      this.element.addEventListener('dblclick', clicked(true), { signal });
    }
    let width = 0;
    const observer = new ResizeObserver(() => {
      if (this.options.measured && width && this.element.clientWidth !== width) this.resized();
      width = this.element.clientWidth;
      this.ask();
    });
    observer.observe(this.element);
    signal.addEventListener('abort', () => {
      observer.disconnect();
      clearTimeout(this.resting);
      this.element.remove();
    }, { once: true });
  }

  /** Wheel up at the end: whoever reads stops following, even if the list grew in the same moment. */
  private leaveEnd(): void {
    if (this.heights.top(this.options.total()) > this.inside()) this.following.set(false);
  }

  private onScroll(): void {
    const at = this.element.scrollTop;
    const moved = at - this.scrolled;
    if (Math.abs(moved) < 1) return;
    this.scrolled = at;
    const total = this.options.total();
    const inside = this.inside();
    const [most, real] = [Math.max(0, this.heights.top(total) - inside), Math.max(1, this.spaced - inside)];
    let top = at - this.shift;
    // the scroll bar was dragged in a list that is taller than its element: the share counts
    if (most > real && Math.abs(moved) > 2 * inside) top = (at / real) * most;
    else if (at <= 0) top = 0;
    top = Math.max(0, Math.min(most, top));
    this.shift = at - top;
    this.anchor = this.heights.at(top, total);
    // rows near the end may turn out to be taller than was thought: the end of the scroll bar is the end
    this.following.set(at >= real - 2 && top >= most - inside);
    this.settle();
    this.ask();
  }

  /** Soon, or at once near an end, put the scroll bar where it belongs. */
  private settle(): void {
    clearTimeout(this.resting);
    if (Math.abs(this.shift) < 1 && this.spaced < TALLEST) return;
    const inside = this.inside();
    const top = this.scrolled - this.shift;
    const most = this.heights.top(this.options.total()) - inside;
    const nearEnd =
      (this.scrolled < 4 * inside && top > 4 * inside) ||
      (this.scrolled > this.spaced - 5 * inside && top < most - 4 * inside);
    if (nearEnd) this.align();
    else this.resting = setTimeout(() => this.align(), REST_MS);
  }

  private align(): void {
    if (this.signal.aborted) return;
    const inside = this.inside();
    const top = this.heights.top(this.anchor.index) + this.anchor.offset;
    const [most, real] = [this.heights.top(this.options.total()) - inside, this.spaced - inside];
    const target = most > real + 1 ? (top / Math.max(1, most)) * real : top;
    if (Math.abs(target - this.scrolled) < 1) return;
    this.place(target);
    this.shift = this.scrolled - top;
    this.ask();
  }

  private place(scrollTop: number): void {
    this.element.scrollTop = scrollTop;
    this.scrolled = this.element.scrollTop;
  }

  private moveTo(target: number): void {
    const total = this.options.total();
    const most = Math.max(0, this.heights.top(total) - this.inside());
    const top = Math.max(0, Math.min(most, target));
    this.anchor = this.heights.at(top, total);
    this.shift = this.scrolled - top;
    this.align();
    this.ask();
  }

  private onKey(event: KeyboardEvent): void {
    if (event.altKey || event.metaKey || (event.target as HTMLElement).closest('input,textarea,select')) return;
    const page = Math.max(1, Math.floor(this.inside() / this.options.rowHeight) - 1);
    const total = this.options.total();
    const steps: Record<string, number> = {
      ArrowUp: -1, ArrowDown: 1, PageUp: -page, PageDown: page, Home: -Infinity, End: Infinity,
    };
    const grid = this.options.role === 'grid';
    const step = steps[event.key];
    if (step === undefined) {
      if (grid && event.key === 'Enter' && this.current.get() >= 0) this.options.onCurrent?.(this.current.get(), true);
      return;
    }
    event.preventDefault();
    if (grid) {
      const from = this.current.get() < 0 ? (step > 0 ? this.anchor.index - 1 : this.anchor.index + 1) : this.current.get();
      this.select(step === Infinity ? total - 1 : step === -Infinity ? 0 : from + step);
    } else if (step === Infinity) {
      this.follow(true);
    } else {
      this.following.set(false);
      const top = this.heights.top(this.anchor.index) + this.anchor.offset;
      this.moveTo(step === -Infinity ? 0 : top + step * this.options.rowHeight);
    }
  }

  private draw(): void {
    const total = this.options.total();
    if (this.element.clientWidth === 0) return; // not shown: the ResizeObserver asks again
    let [first, last, top, inside] = [0, -1, 0, 0];
    for (let round = 0; round < 4; round++) {
      inside = this.fitted(total);
      const most = Math.max(0, this.heights.top(total) - inside);
      const wished = this.heights.top(this.anchor.index) + this.anchor.offset;
      top = this.following.get() ? most : Math.min(wished, most);
      this.anchor = this.heights.at(top, total);
      first = this.heights.at(top - BEYOND, total).index;
      last = total === 0 ? -1 : this.heights.at(top + inside + BEYOND, total).index;
      this.rows.fill(first, last, this.current.get());
      if (!this.options.measured || !this.rows.measure(this.heights)) break;
    }
    this.space(total);
    if (this.options.measured) this.widen();
    const active = this.rows.idOf(this.current.get());
    if (active) this.element.setAttribute('aria-activedescendant', active);
    else this.element.removeAttribute('aria-activedescendant');
    if (this.following.get()) this.place(this.spaced - inside);
    this.shift = this.scrolled - top;
    this.layer.style.transform = `translateY(${this.heights.top(first) + this.shift}px)`;
    this.options.want?.(first, last);
    if (this.shift !== 0) this.settle();
    this.drawn.set(this.drawn.get() + 1);
  }

  private fitted(total: number): number {
    const { element } = this;
    if (this.options.fit) {
      const others = element.offsetHeight - this.inside();
      const height = Math.min(TALLEST, Math.max(1, this.heights.top(total))) + others;
      if (height !== this.fit) element.style.height = `${(this.fit = height)}px`;
    }
    return this.inside();
  }

  private widen(): void {
    const width = this.layer.offsetWidth;
    if (width <= this.widest) return;
    this.widest = width;
    if (width > this.element.clientWidth) this.spacer.style.minWidth = `${width}px`;
  }

  private space(total: number): void {
    const height = Math.min(TALLEST, this.heights.top(total));
    if (height !== this.spaced) {
      this.spaced = height;
      this.spacer.style.height = `${height}px`;
      if (this.options.role === 'grid') this.element.setAttribute('aria-rowcount', String(total + (this.options.header ? 1 : 0)));
      if (this.element.scrollTop !== this.scrolled) this.scrolled = this.element.scrollTop;
    }
  }
}

export const LIST_CSS = `
.kl .kl-list { position: relative; overflow: auto; overflow-anchor: none; contain: strict; overscroll-behavior: contain; }
.kl .kl-list-space { position: relative; min-width: 100%; }
.kl .kl-list-layer { position: absolute; top: 0; inset-inline: 0; will-change: transform; min-width: 100%; }
.kl .kl-list-head { position: sticky; top: 0; z-index: 1; background: var(--kl-bg2); }
.kl .kl-list-row { min-width: 100%; }
.kl .kl-list-kept { position: absolute; visibility: hidden; pointer-events: none; }
`;
