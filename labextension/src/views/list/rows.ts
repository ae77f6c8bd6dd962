// The elements of the rows of a list that are near what is in sight, in order, one below the other.

import { h, uniqueId } from '../dom.ts';
import type { Heights } from './heights.ts';

/** Elements kept for rows to come. */
const SPARE = 100;

interface Row {
  element: HTMLElement;
  complete: boolean;
}

export class RowPool {
  private readonly rows = new Map<number, Row>();
  private readonly spare: HTMLElement[] = [];

  /** `draw` fills an element and says whether that was all there is to it; `first` is what a grid counts from. */
  constructor(
    private readonly layer: HTMLElement,
    private readonly grid: boolean,
    private readonly first: number,
    private readonly draw: (row: HTMLElement, index: number) => boolean,
  ) {}

  /** Draw all rows anew the next time. */
  stale(): void {
    for (const row of this.rows.values()) row.complete = false;
  }

  /** The row that an element or text belongs to, or -1. */
  of(node: Node | null): number {
    for (let at: Node | null = node; at; at = at.parentNode) {
      if (at.parentNode === this.layer) return Number((at as HTMLElement).dataset['row']);
    }
    return -1;
  }

  /** The id of a row's element, where it exists. */
  idOf(index: number): string | undefined {
    return this.rows.get(index)?.element.id;
  }

  /** Give every row from first to last its element, in order; other elements are spare. */
  fill(first: number, last: number, current: number): void {
    this.drop(first, last);
    let next = this.layer.firstElementChild as HTMLElement | null;
    while (next && Number(next.dataset['row']) < first) next = next.nextElementSibling as HTMLElement | null;
    for (let index = first; index <= last; index++) {
      let row = this.rows.get(index);
      if (row) {
        row.element.classList.remove('kl-list-kept');
        next = row.element.nextElementSibling as HTMLElement | null;
      } else {
        row = { element: this.spare.pop() ?? this.make(), complete: false };
        row.element.dataset['row'] = String(index);
        this.rows.set(index, row);
        this.layer.insertBefore(row.element, next);
      }
      if (this.grid) {
        row.element.setAttribute('aria-rowindex', String(index + this.first));
        row.element.setAttribute('aria-selected', String(index === current));
      }
      if (!row.complete) row.complete = this.draw(row.element, index);
    }
  }

  /** Keep the heights of the rows; true where one is another than was thought. */
  measure(heights: Heights): boolean {
    let changed = false;
    for (const [index, { element }] of this.rows) {
      if (element.classList.contains('kl-list-kept')) continue;
      changed = heights.set(index, element.getBoundingClientRect().height) || changed;
    }
    return changed;
  }

  private make(): HTMLElement {
    return h('div', { class: 'kl-list-row', id: uniqueId('kl-row'), role: this.grid ? 'row' : undefined });
  }

  private drop(first: number, last: number): void {
    const kept = this.selected();
    for (const [index, { element }] of this.rows) {
      if (index >= first && index <= last) continue;
      if (kept.has(index)) {
        element.classList.add('kl-list-kept');
        continue;
      }
      element.remove();
      this.rows.delete(index);
      if (this.spare.length < SPARE) this.spare.push(element);
    }
  }

  /** Rows that hold an end of the text that is selected: they stay, or the selection would break. */
  private selected(): Set<number> {
    const found = new Set<number>();
    const selection = selectionIn(this.layer);
    if (!selection || selection.isCollapsed) return found;
    for (const node of [selection.anchorNode, selection.focusNode]) {
      const index = this.of(node);
      if (index >= 0) found.add(index);
    }
    return found;
  }
}

/** The selection, also inside a shadow root where the browser tells it there. */
export function selectionIn(element: Element): Selection | null {
  const root = element.getRootNode() as { getSelection?: () => Selection | null };
  return root.getSelection?.() ?? document.getSelection();
}
