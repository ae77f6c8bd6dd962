// Which runs are chosen, over all pages; ranges with the shift key.

import { Value } from '../../sources/value.ts';

export class Selection {
  private anchor: string | null = null;

  constructor(readonly ids: Value<string[]>) {}

  has(id: string): boolean {
    return this.ids.get().includes(id);
  }

  /** Choose one or not; with `range`, everything from the one before to it, in the order that is shown. */
  set(id: string, chosen: boolean, order: readonly string[], range = false): void {
    const from = this.anchor === null ? -1 : order.indexOf(this.anchor);
    const to = order.indexOf(id);
    const some = range && from >= 0 && to >= 0 ? order.slice(Math.min(from, to), Math.max(from, to) + 1) : [id];
    this.many(some, chosen);
    this.anchor = id;
  }

  many(ids: readonly string[], chosen: boolean): void {
    const now = new Set(this.ids.get());
    for (const id of ids) {
      if (chosen) now.add(id);
      else now.delete(id);
    }
    this.ids.set([...now]);
  }

  clear(): void {
    this.anchor = null;
    if (this.ids.get().length > 0) this.ids.set([]);
  }
}
