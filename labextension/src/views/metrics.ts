// The numbers a run has recorded: a small chart for each, one beside the other.

import { CHART_CSS, Chart } from './metrics/chart.ts';
import { CONTROLS_CSS, button, searchField, toggle } from './controls.ts';
import { coalesced, h, setText } from './dom.ts';
import { plural } from './format.ts';
import { copy } from './host.ts';
import { type Metric, type RunStore, ended } from './store.ts';
import { Value } from '../sources/value.ts';
import { t } from './words.ts';

/** More than this, and there is a field to choose by name. */
const MANY = 6;
/** Charts are drawn this often at most while values come. */
const DRAW_MS = 150;

export function mountMetrics(parent: HTMLElement, store: RunStore, signal: AbortSignal): void {
  new Metrics(parent, store, signal);
}

class Metrics {
  private readonly byTime = new Value(false);
  private readonly log = new Value(false);
  private readonly words = new Value('');
  private readonly charts = new Map<string, Chart>();
  private readonly grid = h('div', { class: 'kl-metrics-grid' });
  private readonly empty = h('div', { class: 'kl-empty', text: t('No metrics yet.') });
  private readonly told = h('span', { class: 'kl-muted', role: 'status' });
  private readonly spoken = h('div', { class: 'kl-visually-hidden', role: 'status' });
  private readonly visible = new Set<Chart>();
  private readonly names = new Map<Element, Chart>();
  private readonly observer: IntersectionObserver;
  private readonly ask: () => void;
  private readonly search: HTMLElement;
  private readonly time: HTMLElement;
  private last = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    parent: HTMLElement,
    private readonly store: RunStore,
    private readonly signal: AbortSignal,
  ) {
    this.search = searchField(t('Metrics by name'), this.words, signal);
    this.time = toggle(t('By time'), this.byTime, signal, t('Draw over time instead of steps'));
    const bar = h('div', { class: 'kl-tools', role: 'group', 'aria-label': t('Metrics') },
      this.search, this.time, toggle(t('Log scale'), this.log, signal), button(t('Copy CSV'), () => void this.copy(), signal), this.told);
    const view = h('div', { class: 'kl-metrics' }, bar, this.empty, this.grid, this.spoken);
    parent.append(view);
    this.ask = coalesced(() => this.draw(), signal);
    this.observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const chart = this.names.get(target);
        if (chart && isIntersecting) this.visible.add(chart);
        else if (chart) this.visible.delete(chart);
      }
      this.ask();
    }, { rootMargin: '200px' });
    const resized = new ResizeObserver(() => this.ask());
    resized.observe(this.grid);
    signal.addEventListener('abort', () => {
      clearTimeout(this.timer);
      this.observer.disconnect();
      resized.disconnect();
      view.remove();
    }, { once: true });
    for (const state of [this.byTime, this.log, this.words] as Value<unknown>[]) state.watch(() => this.ask(), signal);
    store.changed.watch(() => this.later(), signal);
  }

  /** Values may come thousands of times a second. */
  private later(): void {
    const wait = this.last + DRAW_MS - performance.now();
    if (wait <= 0) {
      this.ask();
      return;
    }
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.ask();
    }, wait);
  }

  private draw(): void {
    this.last = performance.now();
    const { metrics } = this.store.state;
    const words = this.words.get().toLowerCase();
    const axes = { byTime: this.byTime.get(), log: this.log.get(), start: this.store.state.started ?? 0 };
    for (const [name, chart] of this.charts) {
      if (metrics.has(name)) continue;
      this.observer.unobserve(chart.element);
      chart.element.remove();
      this.charts.delete(name);
      this.visible.delete(chart);
    }
    for (const metric of metrics.values()) {
      const chart = this.charts.get(metric.name) ?? this.add(metric);
      chart.element.hidden = !metric.name.toLowerCase().includes(words);
    }
    for (const metric of metrics.values()) {
      const chart = this.charts.get(metric.name);
      if (chart && !chart.element.hidden && this.visible.has(chart)) chart.draw(metric, axes);
    }
    this.search.hidden = metrics.size <= MANY;
    this.time.hidden = ![...metrics.values()].some((metric) => metric.stepped);
    this.empty.hidden = metrics.size > 0;
    setText(this.empty, ended(this.store.state) ? t('The flow has recorded no metrics.') : t('No metrics yet.'));
  }

  private add(metric: Metric): Chart {
    const chart = new Chart(metric, (x, from) => this.point(x, from), (words) => setText(this.spoken, words), this.signal);
    this.charts.set(metric.name, chart);
    this.names.set(chart.element, chart);
    this.grid.append(chart.element);
    this.observer.observe(chart.element);
    return chart;
  }

  /** All charts with the same axis show what was at the same place. */
  private point(x: number | null, from: Chart): void {
    for (const chart of this.visible) chart.point(x === null || !chart.sharesAxis(from) ? null : x);
  }

  private async copy(): Promise<void> {
    const { metrics } = this.store.state;
    const done = await copy(csv(metrics.values()));
    let points = 0;
    for (const metric of metrics.values()) points += metric.points.length;
    setText(this.told, done ? t('Copied %1', plural(points, 'point')) : t('The browser did not allow to copy'));
  }
}

/** All points, one a line. */
export function csv(metrics: Iterable<Metric>): string {
  const quoted = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const rows = ['name,step,time,value,unit'];
  for (const { name, unit, points, stepped } of metrics) {
    for (const { x, y, t } of points) {
      rows.push([quoted(name), stepped ? String(x) : '', new Date(t).toISOString(), String(y), quoted(unit ?? '')].join(','));
    }
  }
  return rows.join('\n');
}

export const METRICS_CSS = CONTROLS_CSS + CHART_CSS + `
.kl .kl-metrics-grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 270px), 1fr)); gap: 8px; padding-bottom: 8px; }
`;
