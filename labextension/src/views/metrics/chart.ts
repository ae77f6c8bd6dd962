// One line over step or time, as SVG: its colours follow the theme by themselves.

import { h, setText, svg } from '../dom.ts';
import type { Metric } from '../store.ts';
import { logTicks, rounded, short, ticks, timeLabel, timeTicks } from '../ticks.ts';
import { t } from '../words.ts';

const HEIGHT = 132;
const LEFT = 46;
const RIGHT = 10;
const TOP = 8;
const BOTTOM = 20;

export interface Axes {
  byTime: boolean;
  log: boolean;
  /** The run's start, ms since 1970: times are counted from here. */
  start: number;
}

interface Drawn {
  points: { x: number; y: number; t: number }[];
  stepped: boolean;
  x(value: number): number;
  y(value: number): number;
  left: number;
  right: number;
}

/** A metric's card: name, last value, the line, and what is under the pointer. */
export class Chart {
  readonly element: HTMLElement;
  private readonly plot: SVGElement;
  private readonly cross = svg('g', { class: 'kl-cross' });
  private readonly lines = svg('g', {});
  private readonly value = h('span', { class: 'kl-metric-value' });
  private readonly range = h('div', { class: 'kl-muted kl-metric-range' });
  private drawn: Drawn | null = null;
  private seen = '';
  private at = -1;

  /** `pointed` is told where on the x axis the pointer or the keys are, null for nowhere. */
  constructor(
    private metric: Metric,
    private readonly pointed: (x: number | null, chart: Chart) => void,
    private readonly spoken: (words: string) => void,
    signal: AbortSignal,
  ) {
    this.plot = svg('svg', { class: 'kl-plot', height: HEIGHT, width: '100%', tabindex: 0, role: 'img' }, this.lines, this.cross);
    this.element = h('figure', { class: 'kl-metric' },
      h('figcaption', {}, h('span', { class: 'kl-metric-name', title: metric.name, text: metric.name }), this.value), this.plot, this.range);
    this.plot.addEventListener('pointermove', (event) => this.onPointer(event), { signal });
    this.plot.addEventListener('pointerleave', () => this.pointed(null, this), { signal });
    this.plot.addEventListener('blur', () => this.pointed(null, this), { signal });
    this.plot.addEventListener('keydown', (event) => this.onKey(event), { signal });
  }

  /** Draw it, where that would look different from what is there. */
  draw(metric: Metric, axes: Axes): void {
    const width = this.element.clientWidth;
    const last = metric.points.at(-1);
    const seen = `${width} ${metric.points.length} ${last?.t ?? 0} ${last?.y ?? 0} ${axes.byTime} ${axes.log} ${axes.start}`;
    if (width === 0 || (seen === this.seen && metric === this.metric)) return;
    this.seen = seen;
    this.metric = metric;
    this.plot.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`);
    this.drawn = this.scales(width, axes);
    this.lines.replaceChildren();
    this.cross.replaceChildren();
    if (this.drawn) this.grid(this.drawn, width, axes);
    this.tell(axes);
  }

  /** Show the value at a place on the x axis that somebody points at, here or on a chart beside. */
  point(x: number | null): void {
    this.cross.replaceChildren();
    const drawn = this.drawn;
    if (x === null || !drawn) {
      this.at = -1;
      this.tellLast();
      return;
    }
    this.at = nearest(drawn.points, x);
    const point = drawn.points[this.at];
    if (!point) return;
    const [px, py] = [drawn.x(point.x), drawn.y(point.y)];
    this.cross.append(svg('line', { x1: px, x2: px, y1: TOP, y2: HEIGHT - BOTTOM }), svg('circle', { cx: px, cy: py, r: 3.5 }));
    setText(this.value, this.words(point));
  }

  /** Whether another chart's x axis has the same meaning. */
  sharesAxis(other: Chart): boolean {
    return this.drawn?.stepped === other.drawn?.stepped;
  }

  private words(point: { x: number; y: number }): string {
    const at = this.drawn?.stepped ? `step ${short(point.x)}` : timeLabel(point.x, 100);
    return `${short(point.y)}${this.unit()} at ${at}`;
  }

  private unit(): string {
    return this.metric.unit ? ` ${this.metric.unit}` : '';
  }

  private tellLast(): void {
    const last = this.metric.points.at(-1);
    setText(this.value, last ? `${short(last.y)}${this.unit()}` : '');
  }

  private tell(axes: Axes): void {
    let [low, high] = [Infinity, -Infinity];
    for (const { y } of this.metric.points) {
      low = Math.min(low, y);
      high = Math.max(high, y);
    }
    this.tellLast();
    const note = axes.log && low <= 0 ? t(' · not all are positive: no log scale') : '';
    setText(this.range, t('min %1 · max %2%3', short(low), short(high), note));
    const last = this.metric.points.at(-1);
    const label = `${this.metric.name}: last ${short(last?.y ?? NaN)}${this.unit()}, least ${short(low)}, greatest ${short(high)}, ${this.metric.points.length} points`;
    this.plot.setAttribute('aria-label', label);
  }

  private scales(width: number, axes: Axes): Drawn | null {
    const stepped = this.metric.stepped && !axes.byTime;
    const points = this.metric.points.map(({ x, y, t }) => ({ x: stepped ? x : t - axes.start, y, t }));
    // steps may come in any order, lines go from left to right
    if (points.some((point, i) => i > 0 && point.x < points[i - 1]!.x)) points.sort((a, b) => a.x - b.x);
    if (points.length === 0) return null;
    let [low, high] = [Infinity, -Infinity];
    for (const { y } of points) {
      low = Math.min(low, y);
      high = Math.max(high, y);
    }
    const log = axes.log && low > 0;
    if (low === high) {
      const around = low === 0 ? 1 : Math.abs(low) * 0.1;
      [low, high] = log ? [low / 1.5, high * 1.5] : [low - around, high + around];
    }
    if (!log) [low, high] = rounded(low, high, 4);
    const [x0, x1] = [points[0]!.x, Math.max(points.at(-1)!.x, points[0]!.x + 1e-9)];
    const turn = (value: number): number => (log ? Math.log10(value) : value);
    const [bottom, top] = [turn(low), turn(high)];
    return {
      points, stepped, left: low, right: high,
      x: (value) => LEFT + ((value - x0) / (x1 - x0)) * (width - LEFT - RIGHT),
      y: (value) => TOP + (1 - (turn(value) - bottom) / (top - bottom)) * (HEIGHT - TOP - BOTTOM),
    };
  }

  private grid(drawn: Drawn, width: number, axes: Axes): void {
    const { points, left: low, right: high } = drawn;
    const [x0, x1] = [points[0]!.x, points.at(-1)!.x];
    const text = (x: number, y: number, words: string, anchor: string): SVGElement =>
      svg('text', { x, y, 'text-anchor': anchor }, words);
    const marks = axes.log && low > 0 ? logTicks(low, high) : ticks(low, high, 4);
    for (const value of marks) {
      const y = drawn.y(value);
      this.lines.append(svg('line', { class: 'kl-grid-line', x1: LEFT, x2: width - RIGHT, y1: y, y2: y }), text(LEFT - 6, y + 3.5, short(value), 'end'));
    }
    const room = Math.max(2, (width - LEFT) / 75);
    const across = drawn.stepped ? ticks(x0, x1, room) : timeTicks(x0, x1, room);
    const step = across.length > 1 ? across[1]! - across[0]! : x1 - x0;
    for (const value of across) {
      const words = drawn.stepped ? short(value) : timeLabel(value, step);
      const x = drawn.x(value);
      this.lines.append(text(Math.min(width - 4, x), HEIGHT - 5, words, x > width - 30 ? 'end' : 'middle'));
    }
    const path = pathOf(drawn);
    this.lines.append(svg('path', { class: 'kl-line-path', d: path }));
    if (points.length <= 60) for (const point of points) this.lines.append(svg('circle', { class: 'kl-dot', cx: drawn.x(point.x), cy: drawn.y(point.y), r: 2 }));
  }

  private onPointer(event: PointerEvent): void {
    const drawn = this.drawn;
    if (!drawn) return;
    const x = event.clientX - this.plot.getBoundingClientRect().left;
    const [first, last] = [drawn.points[0]!.x, drawn.points.at(-1)!.x];
    const [from, to] = [drawn.x(first), drawn.x(last)];
    this.pointed(to > from ? first + ((x - from) / (to - from)) * (last - first) : first, this);
  }

  private onKey(event: KeyboardEvent): void {
    const drawn = this.drawn;
    if (!drawn) return;
    const steps: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    const last = drawn.points.length - 1;
    const at = Math.max(0, Math.min(last, (this.at < 0 ? last : this.at) + step));
    this.pointed(drawn.points[at]!.x, this);
    this.spoken(`${this.metric.name} ${this.words(drawn.points[at]!)}`);
  }
}

/** The line, with at most its first, last, lowest and highest point in each pixel. */
export function pathOf({ points, x, y }: Pick<Drawn, 'points' | 'x' | 'y'>): string {
  const parts: string[] = [];
  const put = (point: { x: number; y: number }): void =>
    void parts.push(`${parts.length ? 'L' : 'M'}${x(point.x).toFixed(1)} ${y(point.y).toFixed(1)}`);
  for (let i = 0; i < points.length; ) {
    const pixel = Math.floor(x(points[i]!.x));
    let [end, low, high] = [i, i, i];
    while (end < points.length && Math.floor(x(points[end]!.x)) === pixel) {
      if (points[end]!.y < points[low]!.y) low = end;
      if (points[end]!.y > points[high]!.y) high = end;
      end++;
    }
    for (const place of [...new Set([i, low, high, end - 1])].sort((a, b) => a - b)) put(points[place]!);
    i = end;
  }
  return parts.join('');
}

function nearest(points: readonly { x: number }[], x: number): number {
  let [low, high] = [0, points.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (points[middle]!.x < x) low = middle;
    else high = middle;
  }
  return Math.abs((points[high]?.x ?? Infinity) - x) < Math.abs((points[low]?.x ?? Infinity) - x) ? high : low;
}

export const CHART_CSS = `
.kl .kl-metric { margin: 0; border: 1px solid var(--kl-border); border-radius: 4px; padding: 6px 8px 4px; min-width: 0; }
.kl .kl-metric figcaption { display: flex; gap: 8px; justify-content: space-between; align-items: baseline; }
.kl .kl-metric-name { font-weight: 600; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.kl .kl-metric-value { font-variant-numeric: tabular-nums; white-space: nowrap; }
.kl .kl-metric-range { font-size: .88em; font-variant-numeric: tabular-nums; }
.kl .kl-plot { display: block; overflow: visible; touch-action: pan-y; cursor: crosshair; }
.kl .kl-plot text { font-size: 10.5px; fill: var(--kl-fg2); }
.kl .kl-plot .kl-grid-line { stroke: var(--kl-border); stroke-width: 1; opacity: .6; }
.kl .kl-plot .kl-line-path { fill: none; stroke: var(--kl-accent); stroke-width: 1.6; stroke-linejoin: round; }
.kl .kl-plot .kl-dot { fill: var(--kl-accent); }
.kl .kl-cross line { stroke: var(--kl-fg2); stroke-dasharray: 3 3; }
.kl .kl-cross circle { fill: var(--kl-bg); stroke: var(--kl-accent); stroke-width: 2; }
`;
