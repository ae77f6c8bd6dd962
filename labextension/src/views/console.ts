// What a run has printed: stdout, stderr, log records and notes, however much it is.

import type { Event } from '../sources/events.ts';
import type { Filter, Source } from '../sources/source.ts';
import { aborted } from '../sources/transport.ts';
import { Value } from '../sources/value.ts';
import { ANSI_CSS, lines } from './console/ansi.ts';
import { AgentChoice, CONTROLS_CSS, button, connectionWords, endButton, toggle } from './controls.ts';
import { MOST_COPIED, collect, copySelection, selectedRows } from './list/copying.ts';
import { fill, h, setText } from './dom.ts';
import { count, plural } from './format.ts';
import { Finder } from './console/finder.ts';
import { copy, download } from './host.ts';
import { KINDS, LINES_CSS, drawLine, said, textOf } from './console/lines.ts';
import { LIST_CSS, ListModel, VirtualList } from './lists.ts';
import { type RunStore, ended } from './store.ts';
import type { Kind } from '../wire.ts';
import { t } from './words.ts';

const LINE = 18;

export function mountConsole(parent: HTMLElement, source: Source, runId: string, store: RunStore, signal: AbortSignal): void {
  new Console(parent, source, runId, store, signal);
}

class Console {
  private readonly model: ListModel;
  private readonly list: VirtualList;
  private readonly finder: Finder;
  private readonly wrap = new Value(false);
  private readonly times = new Value(false);
  private readonly shown = new Map(KINDS.map((kind) => [kind, new Value(true)]));
  private readonly agents: AgentChoice;
  private readonly open = new Set<number>();
  private readonly empty = h('div', { class: 'kl-empty' });
  private readonly told = h('span', { role: 'status' });
  private readonly working = h('span', { role: 'status', class: 'kl-tool-group' });
  private work: AbortController | null = null;

  constructor(
    parent: HTMLElement,
    private readonly source: Source,
    private readonly runId: string,
    private readonly store: RunStore,
    private readonly signal: AbortSignal,
  ) {
    const live = !ended(store.state);
    this.model = new ListModel(source, runId, { kinds: KINDS }, store, signal, live ? 'last' : 'first');
    this.agents = new AgentChoice(signal);
    const box = h('div', { class: 'kl-list-box' });
    this.list = new VirtualList(box, {
      label: t('Console'), role: 'log', rowHeight: LINE, measured: true, fit: true,
      total: () => (this.chosen().length > 0 ? this.model.total : 0),
      want: (first, last) => this.model.want(first, last),
      draw: (row, index) => this.draw(row, index),
    }, signal);
    this.list.element.classList.add('kl-mono');
    this.finder = new Finder(source, runId, store, this.list, this.model, signal);
    box.append(this.empty, endButton(this.list, this.model, 'message', signal));
    const foot = h('div', { class: 'kl-foot' }, this.told, this.working);
    const view = h('div', { class: 'kl-console kl-listed' }, this.toolbar(), box, foot);
    parent.append(view);
    signal.addEventListener('abort', () => {
      this.work?.abort();
      view.remove();
    }, { once: true });
    if (live) this.list.follow(true);
    this.watch(view);
  }

  private toolbar(): HTMLElement {
    const { signal, list } = this;
    const follow = toggle(t('Follow'), list.following, signal, t('Stay at the end as lines come'));
    follow.addEventListener('click', () => list.refresh(), { signal });
    this.store.changed.watch(() => (follow.hidden = ended(this.store.state) && !list.following.get()), signal);
    return h('div', { class: 'kl-tools', role: 'group', 'aria-label': t('Console') },
      this.finder.element,
      this.agents.element,
      h('span', { class: 'kl-tool-group', role: 'group', 'aria-label': t('Kinds') },
        ...KINDS.map((kind) => toggle(kind, this.shown.get(kind)!, signal, t('Show %1', kind)))),
      h('span', { class: 'kl-tool-group' },
        toggle(t('Wrap'), this.wrap, signal, t('Break long lines')), toggle(t('Times'), this.times, signal, t('Show when each line was written')), follow),
      h('span', { class: 'kl-tool-group' },
        button(t('Copy'), () => void this.copyAll(), signal, t('Copy the selection, or everything')),
        button(t('Download'), () => void this.save(), signal, t('Download everything as text'))),
    );
  }

  private watch(view: HTMLElement): void {
    const { signal, model, list, finder, source } = this;
    let begun = false;
    const again = (act: () => void) => (): void => {
      if (begun) act();
    };
    const filtered = again(() => this.refilter());
    for (const state of [...this.shown.values(), this.agents.chosen, finder.text, finder.only] as Value<unknown>[]) state.watch(filtered, signal);
    this.wrap.watch((on) => list.element.classList.toggle('kl-wrap', on), signal);
    this.wrap.watch(again(() => list.resized()), signal);
    this.times.watch(again(() => list.resized()), signal);
    finder.found.watch(again(() => list.redraw()), signal);
    model.ready.watch((here) => here && list.resized(), signal);
    begun = true;
    for (const state of [model.changed, model.ready, model.failure] as Value<unknown>[]) state.watch(() => this.update(), signal);
    connectionWords(source, () => this.update(), signal);
    this.store.changed.watch(() => {
      this.agents.offer(this.store.state.agents.keys());
      if (model.total === 0) this.update();
    }, signal);
    view.addEventListener('keydown', (event) => {
      const typing = (event.target as HTMLElement).closest('input, select, textarea');
      if (event.key === '/' && !typing) {
        event.preventDefault();
        finder.focus();
      } else if (event.key === 'a' && (event.ctrlKey || event.metaKey) && event.target === list.element) {
        event.preventDefault();
        void this.copyAll();
      }
    }, { signal });
    view.addEventListener('copy', (event) => {
      copySelection(event, list, model, textOf, (work) => void this.busy(t('Copying …'), () => work.then((done) => (done ? t('Copied') : t('The browser did not allow to copy')))), signal);
    }, { signal });
  }

  private chosen(): readonly Kind[] {
    return KINDS.filter((kind) => this.shown.get(kind)!.get());
  }

  private filter(): Filter {
    const chosen = this.chosen();
    // no kind at all would be every kind there is: then the list stays empty by itself
    const kinds = chosen.length > 0 ? chosen : KINDS;
    const agent = this.agents.chosen.get();
    const search = this.finder.only.get() ? this.finder.text.get() : undefined;
    return { kinds, ...(agent === null ? {} : { agents: [agent] }), ...(search ? { search } : {}) };
  }

  private refilter(): void {
    const filter = this.filter();
    if (JSON.stringify(filter) !== JSON.stringify(this.model.filter)) {
      this.model.setFilter(filter);
    } else {
      this.list.redraw();
      this.update();
    }
    this.finder.look();
  }

  private draw(row: HTMLElement, index: number): boolean {
    const event = this.model.at(index);
    row.className = 'kl-list-row kl-line';
    if (!event) {
      row.classList.add('kl-line-wait');
      row.removeAttribute('data-kind');
      row.removeAttribute('data-level');
      fill(row, h('span', { class: 'kl-line-mark' }), h('span', { class: 'kl-line-text', text: '…' }));
      return false;
    }
    if (event.seq === this.finder.found.get()) row.classList.add('kl-found');
    drawLine(row, event, {
      times: this.times.get(), mark: this.finder.text.get(), open: this.open, more: (one) => void this.more(one),
    });
    return true;
  }

  /** Show an event whole; fetch what is kept beside the log. */
  private async more(event: Event): Promise<void> {
    const { artifact } = said(event);
    if (artifact) {
      try {
        const text = await this.source.artifact(this.runId, artifact.sha256, this.signal);
        Object.assign(said(event), { artifact: null, lines: lines(typeof text === 'string' ? text : JSON.stringify(text, null, 2)) });
      } catch (error) {
        if (!aborted(error)) setText(this.told, t('Cannot load it: %1', String(error)));
        return;
      }
    }
    this.open.add(event.seq);
    this.list.redraw();
    this.list.element.focus({ preventScroll: true });
  }

  private update(): void {
    const { model, store } = this;
    this.list.refresh();
    const failure = model.failure.get();
    const lost = this.source.connection.get() === 'lost';
    let nothing = '';
    if (this.chosen().length === 0) nothing = t('No kind of message is chosen.');
    else if (!model.ready.get() && model.total === 0) nothing = failure ? '' : t('Loading …');
    else if (model.total === 0) {
      const narrowed = this.chosen().length < KINDS.length || this.agents.chosen.get() !== null || this.finder.only.get();
      nothing = narrowed ? t('Nothing fits.') : ended(store.state) ? t('This run has printed nothing.') : t('Nothing is printed yet.');
    }
    setText(this.empty, nothing);
    this.empty.hidden = nothing === '';
    if (lost) setText(this.told, t('Reconnecting …'));
    else if (failure) {
      fill(this.told, t('Cannot read the console: %1 ', failure.message), button(t('Try again'), () => model.retry(), this.signal));
    } else setText(this.told, !model.ready.get() ? t('Looking …') : this.chosen().length > 0 ? plural(model.total, 'message') : '');
  }

  private async copyAll(): Promise<void> {
    if (selectedRows(this.list)) {
      document.execCommand('copy'); // eslint-disable-line @typescript-eslint/no-deprecated -- raises the event answered above
      return;
    }
    await this.busy(t('Copying …'), async (signal, told) => {
      const parts = await collect(this.model, 0, this.model.total, textOf, signal, told, MOST_COPIED);
      return (await copy(parts.join('\n'))) ? t('Copied %1', plural(parts.length, 'message')) : t('The browser did not allow to copy');
    });
  }

  private async save(): Promise<void> {
    await this.busy(t('Reading …'), async (signal, told) => {
      const times = this.times.get();
      const text = (event: Event): string => (times ? `${new Date(event.ts).toISOString()} ${textOf(event)}` : textOf(event));
      const parts = await collect(this.model, 0, this.model.total, text, signal, told);
      download(`${this.runId}.log`, new Blob([parts.join('\n'), '\n'], { type: 'text/plain' }));
      return t('Downloaded %1', plural(parts.length, 'message'));
    });
  }

  /** Do something that may take a while, one at a time, and say how far it is. */
  private async busy(words: string, act: (signal: AbortSignal, told: (done: number) => void) => Promise<string>): Promise<void> {
    this.work?.abort();
    const controller = new AbortController();
    this.work = controller;
    const { total } = this.model;
    const line = h('span', { text: words });
    fill(this.working, line, button(t('Stop'), () => controller.abort(), this.signal));
    let end: string;
    try {
      end = await act(controller.signal, (done) => setText(line, t('%1 %2 of %3', words, count(done), count(total))));
    } catch (error) {
      end = aborted(error) ? t('Stopped') : error instanceof Error ? error.message : String(error);
    }
    if (this.work !== controller || this.signal.aborted) return;
    fill(this.working, h('span', { text: end }));
  }
}

export const CONSOLE_CSS = ANSI_CSS + LIST_CSS + CONTROLS_CSS + LINES_CSS;
