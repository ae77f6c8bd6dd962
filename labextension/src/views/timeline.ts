// When a run did what: lanes of agents with nested spans, waiting, attempts and how it ended.

import { CONTROLS_CSS, button, toggle } from './controls.ts';
import { coalesced, fill, h, setText, uniqueId } from './dom.ts';
import { absolute, duration, plural } from './format.ts';
import { Palette } from './timeline/palette.ts';
import { LIST_CSS, VirtualList } from './lists.ts';
import { type RunStore, type Span, ended } from './store.ts';
import { type Item, Layout } from './timeline/layout.ts';
import { AXIS, COLOURS, HEAD, ROW, type Scene, paint, tops, xOf } from './timeline/paint.ts';
import { Value } from '../sources/value.ts';
import { t } from './words.ts';

/** A live timeline gets this much more room than it needs, so that it is not drawn to another scale all the time. */
const AHEAD = 1.25;
/** How often what goes on is drawn longer. */
const LIVE_MS = 200;
const CLOSEST_MS = 0.02;

export function mountTimeline(parent: HTMLElement, store: RunStore, signal: AbortSignal): void {
  new Timeline(parent, store, signal);
}

class Timeline {
  private readonly layout = new Layout();
  private readonly canvas = h('canvas', { 'aria-hidden': true });
  private readonly space = h('div', { class: 'kl-time-space' });
  private readonly scroller: HTMLElement;
  private readonly tip = h('div', { class: 'kl-time-tip', hidden: true });
  private readonly spoken = h('div', { class: 'kl-visually-hidden', role: 'status' });
  private readonly told = h('span', {});
  private readonly empty = h('div', { class: 'kl-empty', hidden: true });
  private readonly palette: Palette;
  private readonly asTable = new Value(false);
  private readonly draw: () => void;
  private readonly table: VirtualList;
  /** What is seen, ms since 1970; null is everything. */
  private view: { from: number; to: number } | null = null;
  private roomTo = 0;
  private hovered: string | null = null;
  private focused: string | null = null;
  private known = -1;
  private next = 0;

  constructor(
    parent: HTMLElement,
    private readonly store: RunStore,
    private readonly signal: AbortSignal,
  ) {
    const help = uniqueId();
    this.scroller = h('div', {
      class: 'kl-time', tabindex: 0, role: 'application', 'aria-label': t('Timeline'), 'aria-describedby': help,
    }, h('div', { class: 'kl-time-stay' }, this.canvas), this.space);
    const box = h('div', { class: 'kl-list-box' }, this.scroller, this.tip, this.empty);
    const tableBox = h('div', { class: 'kl-list-box' });
    this.table = this.makeTable(tableBox);
    const controls = h('span', { class: 'kl-tool-group' },
      button('−', () => this.zoom(2), signal, t('Zoom out')), button('+', () => this.zoom(0.5), signal, t('Zoom in')),
      button(t('Fit'), () => this.look(null), signal, t('Show the whole run')));
    const bar = h('div', { class: 'kl-tools', role: 'group', 'aria-label': t('Timeline') },
      controls, toggle(t('As a table'), this.asTable, signal), h('span', { class: 'kl-grow' }), this.told);
    const hint = h('div', { class: 'kl-visually-hidden', id: help,
      text: t('Arrow keys go from span to span and to what is around or inside it, plus and minus zoom, 0 shows the whole run, Shift with arrows moves the view.') });
    const view = h('div', { class: 'kl-timeline kl-listed' }, bar, box, tableBox, hint, this.spoken);
    parent.append(view);
    signal.addEventListener('abort', () => view.remove(), { once: true });
    this.draw = coalesced(() => this.paint(), signal);
    this.palette = new Palette(view, COLOURS, () => this.draw(), signal);
    this.asTable.watch((on) => {
      box.hidden = on;
      controls.hidden = on;
      tableBox.hidden = !on;
      this.draw();
    }, signal);
    this.listen();
  }

  private makeTable(box: HTMLElement): VirtualList {
    const names = ['span', 'agent', 'start', 'duration', 'error'];
    const header = h('div', { class: 'kl-span-row', role: 'row', 'aria-rowindex': 1 }, ...names.map((text) => h('div', { role: 'columnheader', text })));
    return new VirtualList(box, {
      label: t('Spans'), role: 'grid', rowHeight: 24, fit: true, header,
      total: () => this.layout.ordered.length,
      draw: (row, index) => {
        const { span, depth, critical } = this.layout.ordered[index]!;
        row.className = 'kl-list-row kl-span-row';
        const name = `${'· '.repeat(Math.min(6, depth))}${span.name}`;
        const cells = [name, span.agent ?? '', this.sinceStart(span), this.took(span), span.error ?? ''];
        fill(row, ...cells.map((text) => h('div', { role: 'gridcell', title: text, text })));
        row.classList.toggle('kl-critical', critical);
        return span.end !== null;
      },
    }, this.signal);
  }

  private listen(): void {
    const { signal, scroller } = this;
    this.store.changed.watch(() => this.draw(), signal);
    const timer = setInterval(() => {
      if (!ended(this.store.state) && this.store.state.started !== null) this.draw();
    }, LIVE_MS);
    const observer = new ResizeObserver(() => this.draw());
    observer.observe(scroller);
    signal.addEventListener('abort', () => {
      clearInterval(timer);
      observer.disconnect();
    }, { once: true });
    scroller.addEventListener('scroll', () => this.draw(), { signal, passive: true });
    scroller.addEventListener('wheel', (event) => this.onWheel(event), { signal, passive: false });
    scroller.addEventListener('keydown', (event) => this.onKey(event), { signal });
    scroller.addEventListener('pointerdown', (event) => this.onDrag(event), { signal });
    scroller.addEventListener('pointermove', (event) => this.onHover(event), { signal });
    scroller.addEventListener('pointerleave', () => this.hover(null), { signal });
    scroller.addEventListener('blur', () => this.focus(null), { signal });
  }

  private now(): number {
    return this.store.state.ended ?? this.store.now();
  }

  /** All of the run, with some room while it goes on. */
  private whole(): { from: number; to: number } {
    const { state } = this.store;
    const from = state.started ?? this.now();
    const now = Math.max(this.now(), from + 1);
    if (ended(state)) return { from, to: Math.max(now, ...this.lateEnds()) + (now - from) * 0.01 };
    if (now > this.roomTo || this.roomTo - from > (now - from) * AHEAD * 4) this.roomTo = from + (now - from) * AHEAD + 500;
    return { from, to: this.roomTo };
  }

  /** Ends of spans that closed after the run did. */
  private lateEnds(): number[] {
    const end = this.store.state.ended ?? 0;
    return this.layout.ordered.slice(-50).map((item) => item.span.end ?? end);
  }

  private scene(): Scene {
    const { state } = this.store;
    const { from, to } = this.view ?? this.whole();
    return {
      layout: this.layout, from, to, start: state.started ?? from, now: this.now(), ended: state.ended,
      status: state.status, reason: state.reason,
      width: this.scroller.clientWidth, height: this.scroller.clientHeight, scroll: this.scroller.scrollTop,
      hovered: this.hovered, focused: this.focused,
    };
  }

  private paint(): void {
    const { state } = this.store;
    // with very many spans it takes its time: then not with every event, but with the last one
    const begun = performance.now();
    if (this.known !== this.store.changed.get() && (begun >= this.next || ended(state))) {
      this.known = this.store.changed.get();
      this.layout.update(state);
      this.tell();
      this.next = begun + 8 * (performance.now() - begun);
    }
    if (this.asTable.get()) {
      this.table.redraw();
      return;
    }
    if (state.started === null) return;
    const height = AXIS + (tops(this.layout.lanes).at(-1) ?? 0);
    this.space.style.height = `${height}px`;
    const wanted = `${Math.max(90, height + 2)}px`;
    if (this.scroller.style.height !== wanted) this.scroller.style.height = wanted;
    if (this.scroller.clientWidth > 0) paint(this.canvas, this.scene(), this.palette);
    this.showTip();
  }

  private tell(): void {
    const { state } = this.store;
    const spans = this.layout.ordered;
    const failed = spans.filter((item) => item.span.error !== null).length;
    const chain = this.layout.chain(this.now()).map((span) => span.name).slice(0, 4);
    const parts = [plural(spans.length, 'span')];
    if (failed > 0) parts.push(`${failed} failed`);
    if (chain.length > 0) parts.push(`longest: ${chain.join(' › ')}`);
    setText(this.told, spans.length === 0 ? '' : parts.join(' · '));
    this.told.className = 'kl-muted kl-time-told';
    this.empty.hidden = spans.length > 0 || this.layout.waits.length > 0 || state.started === null;
    const words = ended(state) ? t('The flow has marked no spans.') : t('No spans yet.');
    setText(this.empty, t('%1 “with tracer.span(name)” shows here what takes how long.', words));
  }

  // -- moving

  private look(view: { from: number; to: number } | null): void {
    if (view) {
      const whole = this.whole();
      const span = Math.max(CLOSEST_MS, view.to - view.from);
      const room = whole.to - whole.from;
      if (span >= room) this.view = null;
      else {
        const from = Math.max(whole.from - span / 2, Math.min(whole.to - span / 2, view.from));
        this.view = { from, to: from + span };
      }
    } else this.view = null;
    this.draw();
  }

  private zoom(factor: number, at?: number): void {
    const { from, to } = this.view ?? this.whole();
    const focus = this.focused === null ? undefined : this.layout.items.get(this.focused)?.span;
    const centre = at ?? (focus ? (focus.start + (focus.end ?? this.now())) / 2 : (from + to) / 2);
    this.look({ from: centre - (centre - from) * factor, to: centre + (to - centre) * factor });
  }

  private pan(share: number): void {
    const { from, to } = this.view ?? this.whole();
    const by = (to - from) * share;
    if (this.view) this.look({ from: from + by, to: to + by });
  }

  private onWheel(event: WheelEvent): void {
    const scene = this.scene();
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      const x = event.clientX - this.scroller.getBoundingClientRect().left;
      this.zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) * 0.01), scene.from + (x / scene.width) * (scene.to - scene.from));
    } else if (this.view && (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY))) {
      event.preventDefault();
      this.pan((event.deltaX || event.deltaY) / scene.width);
    }
  }

  private onDrag(event: PointerEvent): void {
    if (event.button !== 0) return;
    const scene = this.scene();
    const [x, y, top, view] = [event.clientX, event.clientY, this.scroller.scrollTop, { from: scene.from, to: scene.to }];
    const controller = new AbortController();
    const signal = AbortSignal.any([controller.signal, this.signal]);
    let moved = false;
    addEventListener('pointermove', (move) => {
      const [dx, dy] = [move.clientX - x, move.clientY - y];
      if (!moved && Math.hypot(dx, dy) < 4) return;
      moved = true;
      this.scroller.classList.add('kl-dragged');
      const by = (-dx / scene.width) * (view.to - view.from);
      if (this.view) this.look({ from: view.from + by, to: view.to + by });
      if (event.pointerType === 'mouse') this.scroller.scrollTop = top - dy;
    }, { signal });
    const end = (): void => {
      this.scroller.classList.remove('kl-dragged');
      controller.abort();
      if (!moved) this.focus(this.itemAt(event)?.span.id ?? null);
    };
    addEventListener('pointerup', end, { signal });
    addEventListener('pointercancel', () => controller.abort(), { signal });
  }

  // -- one span

  private itemAt(event: MouseEvent): Item | undefined {
    const scene = this.scene();
    const box = this.scroller.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top - AXIS + scene.scroll];
    const at = tops(this.layout.lanes);
    const lane = this.layout.lanes.find((one) => y >= at[one.index]! && y < at[one.index + 1]!);
    if (!lane) return undefined;
    const row = Math.floor((y - at[lane.index]! - HEAD) / ROW);
    let best: Item | undefined;
    for (const item of this.layout.ordered) {
      if (item.lane !== lane || item.row !== row) continue;
      if (xOf(scene, item.span.start) - 2 <= x && x <= xOf(scene, item.span.end ?? scene.now) + 2) best = item;
    }
    return best;
  }

  private onHover(event: PointerEvent): void {
    this.hover(event.buttons === 0 ? (this.itemAt(event)?.span.id ?? null) : null);
  }

  private hover(id: string | null): void {
    if (this.hovered === id) return;
    this.hovered = id;
    this.draw();
  }

  private focus(id: string | null): void {
    this.focused = id;
    const item = id === null ? undefined : this.layout.items.get(id);
    if (item) {
      this.reveal(item);
      setText(this.spoken, this.words(item).join(', '));
    }
    this.draw();
  }

  /** Bring a span into sight. */
  private reveal(item: Item): void {
    const { span } = item;
    if (this.view && (span.start > this.view.to || (span.end ?? this.now()) < this.view.from)) {
      const half = (this.view.to - this.view.from) / 2;
      this.look({ from: span.start - half / 2, to: span.start + 1.5 * half });
    }
    const y = tops(this.layout.lanes)[item.lane.index]! + HEAD + item.row * ROW;
    const { scrollTop, clientHeight } = this.scroller;
    if (y < scrollTop + HEAD) this.scroller.scrollTop = y - HEAD;
    else if (y + ROW + AXIS > scrollTop + clientHeight) this.scroller.scrollTop = y + ROW + AXIS - clientHeight;
  }

  private onKey(event: KeyboardEvent): void {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const act: Record<string, () => void> = {
      '+': () => this.zoom(0.5), '=': () => this.zoom(0.5), '-': () => this.zoom(2), '0': () => this.look(null),
      Escape: () => this.focus(null),
      ArrowRight: () => (event.shiftKey ? this.pan(0.2) : this.step(1)), ArrowLeft: () => (event.shiftKey ? this.pan(-0.2) : this.step(-1)),
      ArrowUp: () => this.climb(-1), ArrowDown: () => this.climb(1),
      Home: () => this.step(-Infinity), End: () => this.step(Infinity),
    };
    const found = act[event.key];
    if (!found || (event.key === 'Escape' && this.focused === null)) return;
    event.preventDefault();
    event.stopPropagation();
    found();
  }

  private step(by: number): void {
    const { ordered } = this.layout;
    const at = this.focused === null ? (by > 0 ? -1 : ordered.length) : ordered.findIndex((item) => item.span.id === this.focused);
    const to = Math.max(0, Math.min(ordered.length - 1, at + by));
    if (ordered[to]) this.focus(ordered[to].span.id);
  }

  /** To the span around the one in focus, or to the first inside it. */
  private climb(by: 1 | -1): void {
    const { items, ordered } = this.layout;
    const item = this.focused === null ? undefined : items.get(this.focused);
    if (!item) {
      this.step(1);
      return;
    }
    const to = by < 0 ? (item.span.parent === null ? undefined : items.get(item.span.parent)) : ordered.find((one) => one.span.parent === item.span.id);
    if (to) this.focus(to.span.id);
  }

  private sinceStart(span: Span): string {
    return `+${duration(Math.max(0, span.start - (this.store.state.started ?? span.start)) / 1000)}`;
  }

  private took(span: Span): string {
    return span.end === null ? `${duration((this.now() - span.start) / 1000)} …` : duration((span.end - span.start) / 1000);
  }

  private words(item: Item): string[] {
    const { span } = item;
    const facts = Object.entries(span.attributes).slice(0, 6).map(([name, value]) => `${name}: ${short(value)}`);
    return [
      span.name, span.agent ?? t('the flow itself'), `${this.took(span)}${span.end === null ? t(' so far') : ''}`,
      `${this.sinceStart(span)} (${absolute(span.start)})`, ...(item.critical ? [t('on the longest chain')] : []),
      ...(span.error ? [`failed: ${span.error}`] : []), ...facts,
    ];
  }

  private showTip(): void {
    const item = this.layout.items.get(this.hovered ?? this.focused ?? '');
    this.tip.hidden = !item;
    if (!item) return;
    const [name = '', ...rest] = this.words(item);
    fill(this.tip, h('strong', { text: name }), ...rest.map((text) => h('div', { text })));
    const scene = this.scene();
    const y = AXIS + tops(this.layout.lanes)[item.lane.index]! + HEAD + item.row * ROW - scene.scroll;
    const x = Math.max(4, Math.min(scene.width - this.tip.offsetWidth - 8, xOf(scene, item.span.start)));
    const below = y + ROW + this.tip.offsetHeight < scene.height || y < this.tip.offsetHeight;
    this.tip.style.transform = `translate(${x}px, ${below ? y + ROW : y - this.tip.offsetHeight - 4}px)`;
  }
}

function short(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

export const TIMELINE_CSS = LIST_CSS + CONTROLS_CSS + `
.kl {
  --kl-lane-0: light-dark(#1b63b5, #6cb2ff); --kl-lane-1: light-dark(#18774a, #58cf95); --kl-lane-2: light-dark(#8a3ab9, #d2a0f5);
  --kl-lane-3: light-dark(#9a5200, #f0b74a); --kl-lane-4: light-dark(#0b7285, #56d4dd); --kl-lane-5: light-dark(#a8326f, #ff9ac8);
  --kl-lane-6: light-dark(#52631a, #b5cc66); --kl-lane-7: light-dark(#5a4fcf, #aaa2ff);
}
.kl .kl-time { position: relative; overflow: hidden auto; flex: 0 1 auto; min-height: 90px; max-height: var(--kl-list-height, max(400px, 65vh)); touch-action: pan-y; cursor: grab; user-select: none; }
.kl .kl-time.kl-dragged { cursor: grabbing; }
.kl .kl-time:focus-visible { outline-offset: -2px; }
.kl .kl-time-stay { position: sticky; top: 0; height: 0; }
.kl .kl-time canvas { display: block; }
.kl .kl-time-tip { position: absolute; top: 0; left: 0; max-width: min(340px, 92%); padding: 5px 9px; border: 1px solid var(--kl-border); border-radius: 4px; background: var(--kl-bg); box-shadow: 0 2px 8px color-mix(in srgb, var(--kl-fg) 22%, transparent); pointer-events: none; font-size: .92em; overflow-wrap: anywhere; z-index: 2; }
.kl .kl-time-told { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; min-width: 0; }
.kl .kl-span-row { display: grid; grid-template-columns: minmax(10ch, 2fr) minmax(7ch, 1fr) 9ch 10ch minmax(6ch, 1.5fr); gap: 0 10px; padding: 0 8px; height: 24px; line-height: 24px; }
.kl .kl-span-row > div { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.kl .kl-span-row > [role=columnheader] { font-weight: 600; color: var(--kl-fg2); }
.kl .kl-list-row.kl-span-row[aria-selected=true] { background: color-mix(in srgb, var(--kl-accent) 16%, var(--kl-bg)); }
.kl .kl-span-row > :nth-child(5)[role=gridcell] { color: var(--kl-bad); }
.kl .kl-span-row.kl-critical > :first-child { box-shadow: inset 3px 0 var(--kl-accent); padding-inline-start: 8px; }
`;
