// Heights of the rows of a list: one height for all, and the few rows that were measured to differ.

const CHUNK = 256;

/** Where a place in a list lies: so many pixels into the row `index`. */
export interface Place {
  index: number;
  offset: number;
}

/**
 * Only rows that differ from `base` cost memory. Sums are kept per 256 rows, so a million rows
 * are found by looking at 4,000 numbers (a few microseconds), and growing costs nothing.
 */
export class Heights {
  private chunks = new Map<number, Float64Array>();
  private sums: number[] = [];

  constructor(readonly base: number) {}

  /** Forget what was measured: the width has changed. */
  clear(): void {
    this.chunks.clear();
    this.sums = [];
  }

  /** Keep a measured height; false where it is the one known. */
  set(index: number, height: number): boolean {
    const chunk = Math.floor(index / CHUNK);
    const known = this.chunks.get(chunk);
    const delta = height - this.base;
    const before = known?.[index % CHUNK] ?? 0;
    if (Math.abs(before - delta) < 0.01) return false;
    const held = known ?? new Float64Array(CHUNK);
    if (!known) this.chunks.set(chunk, held);
    held[index % CHUNK] = delta;
    while (this.sums.length <= chunk) this.sums.push(0);
    this.sums[chunk]! += delta - before;
    return true;
  }

  of(index: number): number {
    return this.base + (this.chunks.get(Math.floor(index / CHUNK))?.[index % CHUNK] ?? 0);
  }

  /** Pixels above a row; with the number of rows, the height of the list. */
  top(index: number): number {
    const chunk = Math.floor(index / CHUNK);
    let top = index * this.base;
    for (let c = 0; c < chunk && c < this.sums.length; c++) top += this.sums[c]!;
    const held = this.chunks.get(chunk);
    if (held) for (let i = 0; i < index % CHUNK; i++) top += held[i]!;
    return top;
  }

  /** The row at a height, of `count` rows; the last one below the end. */
  at(y: number, count: number): Place {
    if (y <= 0 || count === 0) return { index: 0, offset: 0 };
    let top = 0;
    let chunk = 0;
    for (; chunk < this.sums.length; chunk++) {
      const next = top + CHUNK * this.base + this.sums[chunk]!;
      if (next > y) break;
      top = next;
    }
    let index = chunk * CHUNK;
    if (this.chunks.has(chunk)) {
      while (index < count - 1 && top + this.of(index) <= y) top += this.of(index++);
    } else {
      const rows = Math.floor((y - top) / this.base);
      index += rows;
      top += rows * this.base;
    }
    return index < count ? { index, offset: y - top } : { index: count - 1, offset: 0 };
  }
}
