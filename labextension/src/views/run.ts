// One run, live: how it stands, what it asks, what it has shown and said, and what can be done with it.

import type { Source } from '../sources/source.ts';
import { CONSOLE_CSS, mountConsole } from './console.ts';
import { coalesced, fill, h, setText } from './dom.ts';
import { EVENTS_CSS, mountEvents } from './events.ts';
import type { Host } from './host.ts';
import { LOCK_CSS } from './lock.ts';
import { METRICS_CSS, mountMetrics } from './metrics.ts';
import { OUTPUT_CSS } from './output.ts';
import { BARS_CSS, bars } from './run/bars.ts';
import type { Draw, RunContext } from './run/context.ts';
import { FAILURE_CSS, failure } from './run/failure.ts';
import { FAMILY_CSS, Family } from './run/family.ts';
import { FILES_CSS, files } from './run/files.ts';
import { FOOT_CSS, foot } from './run/foot.ts';
import { Acting, HEAD_CSS, head } from './run/head.ts';
import { INPUTS_CSS, inputs } from './run/inputs.ts';
import { LOCKS_CSS, locks } from './run/locks.ts';
import { MENU_CSS } from './run/menu.ts';
import { RERUN_CSS, Rerun } from './run/rerun.ts';
import { RESULTS_CSS, results } from './run/results.ts';
import { type Shown, TABS_CSS, type Tab, Tabs } from './run/tabs.ts';
import { type RunState, RunStore, ended, failed } from './store.ts';
import { TIMELINE_CSS, mountTimeline } from './timeline.ts';
import { t } from './words.ts';

export interface RunOptions {
  /** The tab that is open; without it, the one that says most. */
  tab?: string | null;
  /** As in a cell's output: not higher than it has to be. Else it takes the height of its place. */
  compact?: boolean;
  /** False: it is shown as it stands, and not followed before somebody asks. */
  live?: boolean;
  /** A person has chosen a tab. */
  onTab?(tab: string): void;
  /** Another run is shown in this one's place. */
  onRun?(runId: string): void;
}

/** Show a run, and follow it. */
export function mountRun(parent: HTMLElement, source: Source, runId: string, options: RunOptions, signal: AbortSignal, host: Host): void {
  const box = h('div', { class: 'kl-run-box' });
  parent.append(box);
  signal.addEventListener('abort', () => box.remove(), { once: true });
  let current: AbortController | null = null;

  const show = (id: string, before: string[]): void => {
    current?.abort();
    const controller = (current = new AbortController());
    const ending = AbortSignal.any([signal, controller.signal]);
    fill(box);
    const earlier = before.at(-1);
    if (earlier !== undefined) {
      const back = h('button', { type: 'button', class: 'kl-link kl-run-back', text: t('‹ back to run %1', earlier.slice(-8)) });
      back.addEventListener('click', () => go(earlier, before.slice(0, -1)));
      box.append(back);
    }
    const openRun = (other: string): void => (host.openRun ? host.openRun(other) : go(other, [...before, id]));
    new RunView(box, { source, runId: id, store: new RunStore(source, id, ending), signal: ending, host }, options, openRun);
  };
  const go = (id: string, before: string[]): void => {
    show(id, before);
    options.onRun?.(id);
  };
  show(runId, []);
}

/** While a run is open its times go on; afterwards only "how long ago" does. */
const TICK_MS = 1_000;
const SLOW_TICKS = 20;
/** A view that has been out of sight for so long stops following. */
const UNSEEN_MS = 3_000;

/** What is above and below a list, and what a list needs at least, in pixels. */
const CONTROLS = 112;
const LEAST = 300;

class RunView {
  private readonly element: HTMLElement;
  private readonly main = h('div', { class: 'kl-run-main', hidden: true });
  private readonly waiting = h('div', { class: 'kl-run-waiting', role: 'status', text: t('Loading run …') });
  private readonly tabs: Tabs;
  private readonly parts: Draw[];
  private readonly draw: () => void;
  /** What was chosen, or read: it stays. */
  private chosen: string | null;
  private ready = false;

  constructor(
    parent: HTMLElement,
    private readonly context: RunContext,
    private readonly options: RunOptions,
    openRun: (runId: string) => void,
  ) {
    const { store, signal } = context;
    this.chosen = options.tab || null; // a trait has no null, only an empty text
    this.element = h('section', { class: `kl-run${options.compact ? ' kl-run-compact' : ''}`, 'aria-label': t('Run %1', context.runId.slice(-8)) }, this.waiting, this.main);
    parent.append(this.element);
    const acting = new Acting(context.source.readOnly);
    const rerun = new Rerun(context, acting, { begun: openRun, closed: () => undefined });
    const family = new Family(context, openRun);
    this.tabs = new Tabs(t('Views of the run'), this.made(), (id) => {
      this.chosen = id;
      options.onTab?.(id);
    });
    const top = head(this.main, context, acting, { rerun: () => rerun.toggle(), family: () => family.toggle() });
    this.main.append(family.element, rerun.element);
    this.parts = [top, bars(this.main, context), locks(this.main, context)];
    this.main.append(this.tabs.element, this.tabs.panels);
    this.parts.push(foot(this.main, context, acting));
    this.draw = coalesced(() => this.redraw(), signal);
    this.keepReading();
    if (!options.compact) this.fillHeight();
    if (options.live === false) store.pause();
    else this.followWhenSeen();
    store.changed.watch(() => this.draw(), signal);
    acting.reason.watch(() => this.draw(), signal);
    store.problem.watch((problem) => this.wrong(problem), signal);
    context.source.connection.watch(() => this.told(), signal);
    this.tick();
    void store.ready.then(() => {
      this.ready = true;
      this.draw();
    });
  }

  private made(): Tab[] {
    const { source, runId, store, signal } = this.context;
    const listed = (mount: (panel: HTMLElement) => void) => (panel: HTMLElement): undefined => {
      mount(panel);
      return undefined;
    };
    return [
      { id: 'results', title: t('Results'), mount: (panel) => results(panel, this.context) },
      { id: 'console', title: t('Console'), fills: true, mount: listed((panel) => mountConsole(panel, source, runId, store, signal)) },
      { id: 'timeline', title: t('Timeline'), fills: true, mount: listed((panel) => mountTimeline(panel, store, signal)) },
      { id: 'metrics', title: t('Metrics'), mount: listed((panel) => mountMetrics(panel, store, signal)) },
      { id: 'events', title: t('Events'), fills: true, mount: listed((panel) => mountEvents(panel, source, runId, store, signal)) },
      { id: 'inputs', title: t('Inputs'), mount: (panel) => inputs(panel, this.context) },
      { id: 'files', title: t('Files'), mount: (panel) => files(panel, this.context) },
      { id: 'error', title: t('Error'), mount: (panel) => failure(panel, this.context) },
    ];
  }

  private redraw(): void {
    if (!this.ready) return;
    const { state } = this.context.store;
    const first = this.main.hidden;
    this.waiting.hidden = this.context.store.problem.get() === null;
    this.main.hidden = false;
    if (first) this.element.setAttribute('aria-label', t('Run %1 %2', state.row?.flow ?? '', this.context.runId.slice(-8)));
    for (const part of this.parts) part();
    const shown = tabsOf(state);
    this.tabs.update(shown);
    const wanted = this.chosen !== null && shown[this.chosen]?.shown ? this.chosen : mostTelling(state, shown);
    if (wanted === this.tabs.id) this.tabs.draw();
    else this.tabs.select(wanted);
    this.keepHeight();
  }

  /** While it streams it grows, but never shrinks under the reader's eyes. */
  private keepHeight(): void {
    if (!this.options.compact || ended(this.context.store.state)) return;
    const { panels } = this.tabs;
    const height = panels.offsetHeight;
    if (height > (parseFloat(panels.style.minHeight) || 0)) panels.style.minHeight = `${height}px`;
  }

  /** Lists are as high as leaves place for their controls, where the view has a height of its own. */
  private fillHeight(): void {
    if (typeof ResizeObserver === 'undefined') return;
    const { panels } = this.tabs;
    const observer = new ResizeObserver(() => {
      const height = `${Math.max(LEAST, panels.clientHeight - CONTROLS)}px`;
      if (panels.style.getPropertyValue('--kl-list-height') !== height) panels.style.setProperty('--kl-list-height', height);
    });
    observer.observe(panels);
    this.context.signal.addEventListener('abort', () => observer.disconnect(), { once: true });
  }

  /** Whoever scrolls or clicks in a panel reads it: it is not changed for another one. */
  private keepReading(): void {
    const reads = (): void => {
      this.chosen ??= this.tabs.id;
    };
    for (const event of ['wheel', 'pointerdown', 'keydown', 'touchstart']) this.tabs.panels.addEventListener(event, reads, { passive: true, signal: this.context.signal });
  }

  private followWhenSeen(): void {
    const { store, signal } = this.context;
    if (typeof IntersectionObserver === 'undefined') return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const observer = new IntersectionObserver((entries) => {
      clearTimeout(timer);
      if (entries.at(-1)?.isIntersecting) store.resume();
      else timer = setTimeout(() => store.pause(), UNSEEN_MS);
    });
    observer.observe(this.element);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      observer.disconnect();
    }, { once: true });
  }

  private tick(): void {
    let ticks = 0;
    const timer = setInterval(() => {
      const { store, source } = this.context;
      if (!ended(store.state) || source.connection.get() === 'lost' || ++ticks % SLOW_TICKS === 0) this.draw();
    }, TICK_MS);
    this.context.signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  }

  private told(): void {
    if (this.ready) return;
    setText(this.waiting, this.context.source.connection.get() === 'lost' ? t('Nothing answers yet, trying again …') : t('Loading run …'));
  }

  private wrong(problem: Error | null): void {
    if (!problem) return;
    fill(this.waiting, h('div', { class: 'kl-problem', role: 'alert', text: t('This run cannot be shown: %1', problem.message) }));
    this.waiting.hidden = false;
  }
}

function tabsOf(state: RunState): Shown {
  const left = state.pieces.reduce((sum, piece) => sum + (piece.missing ?? 0), 0);
  const pieces = state.pieces.length + left + state.answers.length;
  const wrong = state.failures.length > 0 || (failed(state) && state.status !== 'cancelled');
  return {
    results: { shown: pieces > 0 || !(wrong && ended(state)), count: pieces },
    // what the overview leaves out is console lines, nearly always: the tab need not come late
    console: { shown: state.lines > 0 || (!state.checked && state.unseen > 0), count: state.lines },
    timeline: { shown: state.spans.size > 0, count: state.spans.size },
    metrics: { shown: state.metrics.size > 0, count: state.metrics.size },
    events: { shown: state.events > 0, count: state.events },
    inputs: { shown: state.row !== null },
    files: { shown: state.files.size > 0, count: state.files.size },
    error: { shown: wrong },
  };
}

/** What somebody who has chosen nothing wants to see. */
function mostTelling(state: RunState, shown: Shown): string {
  if (failed(state) && shown['error']?.shown) return 'error';
  if (shown['results']?.count) return 'results';
  if (shown['console']?.shown) return 'console';
  return shown['results']?.shown ? 'results' : 'events';
}

const OWN = `
.kl .kl-run-box { height: 100%; display: flex; flex-direction: column; container-type: inline-size; }
.kl .kl-run-back { padding: 4px 0; }
.kl .kl-run { flex: 1 1 auto; min-height: 0; display: flex; flex-direction: column; }
.kl .kl-run-main { flex: 1 1 auto; min-height: 0; display: flex; flex-direction: column; gap: 8px; }
.kl .kl-run-waiting { padding: 14px 4px; color: var(--kl-fg2); }
.kl .kl-run-panels { flex: 1 1 auto; min-height: 0; display: flex; flex-direction: column; }
.kl .kl-run-panel { flex: 1 1 auto; min-height: 60px; overflow: auto; overscroll-behavior: contain; }
.kl .kl-run-panel:focus-visible { outline-offset: -2px; }
.kl .kl-run-compact .kl-run-panel { max-height: 420px; }
.kl .kl-run-compact .kl-run-fills { max-height: none; --kl-list-height: 340px; }
.kl .kl-run-fills { overflow: hidden; }
@container (max-width: 480px) {
  .kl .kl-run-head { grid-template-columns: minmax(0, 1fr); }
  .kl .kl-run-actions { justify-content: flex-start; order: 3; }
}
`;

export const RUN_CSS = [
  OUTPUT_CSS, LOCK_CSS, CONSOLE_CSS, EVENTS_CSS, TIMELINE_CSS, METRICS_CSS, HEAD_CSS, MENU_CSS, FAMILY_CSS, RERUN_CSS, BARS_CSS, LOCKS_CSS,
  TABS_CSS, RESULTS_CSS, INPUTS_CSS, FILES_CSS, FAILURE_CSS, FOOT_CSS, OWN,
].join('');
