// Everything a run has said, event by event: a table of any length, and one event in full.

import type { Event } from '../sources/events.ts';
import type { Filter, Source } from '../sources/source.ts';
import { aborted } from '../sources/transport.ts';
import { Value } from '../sources/value.ts';
import { KINDS, type Kind } from '../wire.ts';
import { AgentChoice, CONTROLS_CSS, button, connectionWords, endButton, searchField, toggle } from './controls.ts';
import { fill, h, setText } from './dom.ts';
import { absolute, bytes, clock, count, plural } from './format.ts';
import { JSON_CSS, mountJson } from './json.ts';
import { LIST_CSS, ListModel, VirtualList } from './lists.ts';
import { type RunStore, ended } from './store.ts';
import { t } from './words.ts';

const ROW = 24;
/** Characters of a payload in the table. */
const PREVIEW = 300;

export function mountEvents(parent: HTMLElement, source: Source, runId: string, store: RunStore, signal: AbortSignal): void {
  new Events(parent, source, runId, store, signal);
}

class Events {
  private readonly model: ListModel;
  private readonly list: VirtualList;
  private readonly words = new Value('');
  private readonly agents: AgentChoice;
  private readonly kinds: KindChips;
  private readonly empty = h('div', { class: 'kl-empty' });
  private readonly told = h('span', { role: 'status' });
  private readonly pane = h('section', { class: 'kl-event', hidden: true });
  private shown: Event | null = null;

  constructor(
    parent: HTMLElement,
    private readonly source: Source,
    private readonly runId: string,
    private readonly store: RunStore,
    private readonly signal: AbortSignal,
  ) {
    const live = !ended(store.state);
    this.model = new ListModel(source, runId, {}, store, signal, live ? 'last' : 'first');
    this.agents = new AgentChoice(signal);
    this.kinds = new KindChips(source, runId, store, signal);
    const box = h('div', { class: 'kl-list-box' });
    const names = ['seq', 'time', 'kind', 'agent', 'payload'];
    const header = h('div', { class: 'kl-event-row', role: 'row', 'aria-rowindex': 1 },
      ...names.map((name) => h('div', { role: 'columnheader', class: `kl-event-${name}`, text: name })));
    this.list = new VirtualList(box, {
      label: t('Events'), role: 'grid', rowHeight: ROW, fit: true, header,
      total: () => this.model.total,
      want: (first, last) => this.model.want(first, last),
      draw: (row, index) => this.draw(row, index),
      onCurrent: (index, open) => {
        if (open || !this.pane.hidden) void this.open(index);
      },
    }, signal);
    this.list.element.addEventListener('click', (event) => {
      const index = this.list.rowOf(event.target as Node);
      if (index >= 0) void this.open(index);
    }, { signal });
    box.append(this.empty, endButton(this.list, this.model, 'event', signal));
    const search = searchField(t('Search payloads'), this.words, signal);
    const follow = toggle(t('Follow'), this.list.following, signal, t('Stay at the end as events come'));
    store.changed.watch(() => (follow.hidden = ended(store.state) && !this.list.following.get()), signal);
    const bar = h('div', { class: 'kl-tools', role: 'group', 'aria-label': t('Which events') },
      search, this.agents.element, follow);
    const view = h('div', { class: 'kl-events kl-listed' }, bar, this.kinds.element,
      h('div', { class: 'kl-events-both' }, box, this.pane), h('div', { class: 'kl-foot' }, this.told));
    parent.append(view);
    signal.addEventListener('abort', () => view.remove(), { once: true });
    if (live) this.list.follow(true);
    this.watch(view, search);
  }

  private watch(view: HTMLElement, search: HTMLElement): void {
    const { signal, model } = this;
    let begun = false;
    for (const state of [this.words, this.agents.chosen, this.kinds.chosen] as Value<unknown>[]) {
      state.watch(() => {
        if (begun) this.refilter();
      }, signal);
    }
    begun = true;
    model.ready.watch((here) => here && this.list.deselect(), signal);
    this.list.following.watch(() => this.list.refresh(), signal);
    for (const state of [model.changed, model.ready, model.failure] as Value<unknown>[]) state.watch(() => this.update(), signal);
    connectionWords(this.source, () => this.update(), signal);
    this.store.changed.watch(() => this.agents.offer(this.store.state.agents.keys()), signal);
    view.addEventListener('keydown', (event) => {
      if (event.key === '/' && !(event.target as HTMLElement).closest('input, select')) {
        event.preventDefault();
        search.focus();
      } else if (event.key === 'Escape' && !this.pane.hidden) this.close();
    }, { signal });
  }

  private refilter(): void {
    const [kinds, agent, search] = [this.kinds.chosen.get(), this.agents.chosen.get(), this.words.get()];
    const filter: Filter = {
      ...(kinds.length > 0 ? { kinds } : {}), ...(agent === null ? {} : { agents: [agent] }), ...(search ? { search } : {}),
    };
    this.model.setFilter(filter);
  }

  private draw(row: HTMLElement, index: number): boolean {
    const event = this.model.at(index);
    row.className = 'kl-list-row kl-event-row';
    row.dataset['kind'] = event?.kind ?? '';
    const cell = (name: string, text: string, title?: string): HTMLElement =>
      h('div', { role: 'gridcell', class: `kl-event-${name}`, text, title });
    if (!event) {
      fill(row, cell('seq', '…'), cell('time', ''), cell('kind', ''), cell('agent', ''), cell('payload', ''));
      return false;
    }
    const preview = event.payload.length > PREVIEW ? `${event.payload.slice(0, PREVIEW)}…` : event.payload;
    fill(row, cell('seq', String(event.seq)), cell('time', clock(event.ts), absolute(event.ts)), cell('kind', event.kind),
      cell('agent', event.agent ?? '', event.agent ?? undefined), cell('payload', preview));
    return true;
  }

  private update(): void {
    const { model } = this;
    this.list.refresh();
    const failure = model.failure.get();
    let nothing = '';
    if (!model.ready.get() && model.total === 0) nothing = failure ? '' : t('Loading …');
    else if (model.total === 0) nothing = t('No event fits.');
    setText(this.empty, nothing);
    this.empty.hidden = nothing === '';
    if (this.source.connection.get() === 'lost') setText(this.told, t('Reconnecting …'));
    else if (failure) fill(this.told, t('Cannot read the events: %1 ', failure.message), button(t('Try again'), () => model.retry(), this.signal));
    else setText(this.told, model.ready.get() ? plural(model.total, 'event') : t('Looking …'));
  }

  /** Show an event in full beside the table. */
  private async open(index: number): Promise<void> {
    let event: Event | undefined;
    try {
      event = await this.model.row(index, this.signal);
    } catch (error) {
      if (!aborted(error)) setText(this.told, t('The event cannot be read now.'));
    }
    if (!event || this.signal.aborted || event === this.shown) return;
    this.shown = event;
    const payload = parsed(event.payload);
    this.pane.setAttribute('aria-label', t('Event %1', event.seq));
    const about: [string, string][] = [
      ['time', absolute(event.ts)], ['kind', event.kind], ['agent', event.agent ?? t('the flow itself')], ['attempt', String(event.attempt)],
      ['size', bytes(new TextEncoder().encode(event.payload).length)],
    ];
    const tree = h('div', { class: 'kl-event-tree' });
    mountJson(tree, payload, t('Payload'));
    const artifact = artifactOf(payload);
    fill(this.pane,
      h('div', { class: 'kl-row' }, h('strong', { class: 'kl-grow', text: t('Event %1', count(event.seq)) }), button('×', () => this.close(), this.signal, t('Close'))),
      h('dl', {}, ...about.flatMap(([name, value]) => [h('dt', { text: name }), h('dd', { text: value })])),
      artifact && button(t('Load %1', bytes(artifact.nbytes)), () => void this.load(artifact.sha256, tree), this.signal), tree);
    this.pane.hidden = false;
    this.list.refresh();
  }

  private async load(sha256: string, tree: HTMLElement): Promise<void> {
    try {
      const payload = await this.source.artifact(this.runId, sha256, this.signal);
      fill(tree);
      mountJson(tree, payload, t('Payload'));
    } catch (error) {
      if (!aborted(error)) fill(tree, h('div', { class: 'kl-problem', text: error instanceof Error ? error.message : String(error) }));
    }
  }

  private close(): void {
    this.pane.hidden = true;
    this.shown = null;
    this.list.element.focus({ preventScroll: true });
  }
}

/** Kinds to choose from, with how many events there are of each. */
class KindChips {
  readonly chosen = new Value<Kind[]>([]);
  readonly element: HTMLElement;
  private readonly counts = new Map<Kind, number>();
  private readonly states = new Map<Kind, Value<boolean>>();
  private readonly chips = new Map<Kind, HTMLElement>();

  constructor(source: Source, runId: string, store: RunStore, signal: AbortSignal) {
    this.element = h('div', { class: 'kl-tools kl-kinds', role: 'group', 'aria-label': t('Kinds') });
    for (const kind of KINDS) {
      const state = new Value(false);
      const chip = toggle(kind, state, signal);
      this.states.set(kind, state);
      this.chips.set(kind, chip);
      this.element.append(chip);
      state.watch(() => this.chosen.set(KINDS.filter((one) => this.states.get(one)?.get())), signal);
    }
    // counted up to here; what comes later is counted as it comes
    const upto = store.state.lastSeq;
    store.onEvents((events) => {
      for (let row = 0; row < events.length; row++) {
        if (events.seq(row) > upto) this.counts.set(events.kind(row), (this.counts.get(events.kind(row)) ?? 0) + 1);
      }
      this.draw();
    }, signal);
    void this.ask(source, runId, upto, signal);
  }

  private async ask(source: Source, runId: string, upto: number, signal: AbortSignal): Promise<void> {
    if (upto >= 0) {
      for (const kind of KINDS) {
        try {
          const { total } = await source.window(runId, { kinds: [kind], upto }, 0, 0, signal);
          this.counts.set(kind, (this.counts.get(kind) ?? 0) + total);
        } catch {
          return; // the chips work without
        }
      }
    }
    this.counted = true;
    this.draw();
  }

  private counted = false;

  private draw(): void {
    for (const [kind, chip] of this.chips) {
      const known = this.counts.get(kind) ?? 0;
      if (this.counted) setText(chip, `${kind} ${count(known)}`);
      chip.hidden = this.counted && known === 0 && !this.states.get(kind)?.get();
    }
  }
}

function parsed(payload: string): unknown {
  try {
    return JSON.parse(payload) as unknown;
  } catch {
    return payload;
  }
}

function artifactOf(payload: unknown): { sha256: string; nbytes: number } | null {
  const held = (payload as { artifact?: { sha256?: unknown; nbytes?: unknown } } | null)?.artifact;
  return typeof held?.sha256 === 'string' ? { sha256: held.sha256, nbytes: Number(held.nbytes) } : null;
}

export const EVENTS_CSS = LIST_CSS + CONTROLS_CSS + JSON_CSS + `
.kl .kl-kinds { padding-top: 0; }
.kl .kl-kinds button.kl-btn { min-height: 22px; padding: 0 8px; border-radius: 11px; font-variant-numeric: tabular-nums; }
.kl .kl-events > .kl-events-both { display: flex; flex-wrap: wrap; gap: 8px; flex: 0 1 auto; min-height: 0; align-items: flex-start; overflow: auto; }
.kl .kl-events-both > .kl-list-box { flex: 999 1 420px; min-width: 0; container-type: inline-size; }
.kl .kl-event { flex: 1 1 280px; min-width: 0; max-height: var(--kl-list-height, max(400px, 65vh)); overflow: auto; border: 1px solid var(--kl-border); border-radius: 4px; padding: 8px 10px; }
.kl .kl-event dl { display: grid; grid-template-columns: auto 1fr; gap: 2px 12px; margin: 8px 0; }
.kl .kl-event dt { color: var(--kl-fg2); }
.kl .kl-event dd { margin: 0; overflow-wrap: anywhere; }
.kl .kl-event-tree { margin-top: 8px; }
.kl .kl-event-row { display: grid; grid-template-columns: 8ch 12ch 9ch 12ch minmax(0, 1fr); gap: 0 10px; padding: 0 8px; line-height: ${ROW}px; height: ${ROW}px; }
.kl .kl-event-row > div { overflow: hidden; text-overflow: ellipsis; white-space: pre; }
.kl .kl-event-row > [role=columnheader] { color: var(--kl-fg2); font-weight: 600; }
.kl .kl-list-row.kl-event-row { border-top: 1px solid color-mix(in srgb, var(--kl-border) 45%, transparent); cursor: default; }
.kl .kl-list-row.kl-event-row:hover { background: var(--kl-bg2); }
.kl .kl-list-row.kl-event-row[aria-selected=true] { background: color-mix(in srgb, var(--kl-accent) 16%, var(--kl-bg)); }
.kl .kl-event-seq { text-align: end; font-variant-numeric: tabular-nums; color: var(--kl-fg2); }
.kl .kl-event-time { font-variant-numeric: tabular-nums; }
.kl .kl-event-payload { font-family: var(--kl-mono); font-size: .9em; }
.kl .kl-event-row:is([data-kind=error], [data-kind=stderr]) > .kl-event-kind { color: var(--kl-bad); font-weight: 600; }
.kl .kl-event-row:is([data-kind=lock], [data-kind=lease]) > .kl-event-kind { color: var(--kl-warn); font-weight: 600; }
.kl .kl-event-row:is([data-kind=result], [data-kind=final]) > .kl-event-kind { color: var(--kl-ok); font-weight: 600; }
@container (max-width: 520px) {
  .kl .kl-kinds { flex-wrap: nowrap; overflow-x: auto; scrollbar-width: thin; }
  .kl .kl-kinds > button { flex: none; }
  .kl .kl-event-row { grid-template-columns: 6ch 8ch minmax(0, 1fr); }
  .kl .kl-event-row > :is(.kl-event-time, .kl-event-agent) { display: none; }
}
`;
