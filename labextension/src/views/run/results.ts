// What a flow has shown, in order, with the questions it was answered in between. A stretch of it is
// in the page: the newest while the run goes on, and it follows the end only while the reader is there.

import { fill, h, setText } from '../dom.ts';
import { clock, count, plural } from '../format.ts';
import { showBundle, showValue } from '../output.ts';
import { type Answered, type Piece, ended } from '../store.ts';
import type { Draw, RunContext } from './context.ts';

/** Pieces that are made at once, and that are in the page at most. */
const STEP = 40;
const MOST = 160;

type Entry = Piece | Answered;

export function results(panel: HTMLElement, context: RunContext): Draw {
  return new Results(panel, context).draw;
}

class Results {
  private readonly list = h('div', { class: 'kl-pieces', role: 'feed', 'aria-label': 'Results' });
  private readonly outcome = h('div', { class: 'kl-outcome' });
  private readonly earlier = h('button', { type: 'button', class: 'kl-link kl-pieces-more', onclick: () => this.more(-1), hidden: true });
  private readonly later = h('button', { type: 'button', class: 'kl-link kl-pieces-more', onclick: () => this.more(1), hidden: true });
  private readonly empty = h('div', { class: 'kl-empty' });
  private entries: Entry[] = [];
  private pieces: Piece[] | null = null;
  private taken = { pieces: 0, answers: 0 };
  /** The entries that are in the page: from, up to. */
  private from = 0;
  private to = 0;
  private readonly shown: { element: HTMLElement; end: AbortController }[] = [];
  /** An ended run shows what came of it first. */
  private readonly finalFirst: boolean;

  constructor(
    private readonly panel: HTMLElement,
    private readonly context: RunContext,
  ) {
    this.finalFirst = ended(context.store.state);
    panel.append(this.outcome, this.earlier, this.list, this.later, this.empty);
  }

  readonly draw = (): void => {
    const { state } = this.context.store;
    const following = !this.finalFirst && this.atEnd();
    if (this.pieces !== state.pieces) this.restart(state.pieces);
    this.collect();
    if (following) this.catchUp();
    else this.extend();
    this.earlier.hidden = this.from === 0;
    setText(this.earlier, `Show ${plural(this.from, 'earlier result')}`);
    const rest = this.entries.length - this.to;
    this.later.hidden = rest === 0;
    setText(this.later, `Show ${count(rest)} more`);
    this.empty.hidden = this.entries.length > 0 || this.outcome.childElementCount > 0;
    setText(this.empty, ended(state) ? 'This run has shown nothing.' : 'Nothing yet.');
    if (following) this.panel.scrollTop = this.panel.scrollHeight;
  };

  private atEnd(): boolean {
    const { scrollHeight, scrollTop, clientHeight } = this.panel;
    return scrollHeight - scrollTop - clientHeight < 24;
  }

  /** Another attempt has begun: what the one before showed is over. */
  private restart(pieces: Piece[]): void {
    this.pieces = pieces;
    this.entries = [];
    this.taken = { pieces: 0, answers: 0 };
    this.clear();
    [this.from, this.to] = [0, 0];
    fill(this.outcome);
  }

  private clear(): void {
    for (const one of this.shown.splice(0)) this.remove(one);
  }

  private remove({ element, end }: { element: HTMLElement; end: AbortController }): void {
    end.abort();
    element.remove();
  }

  /** Pieces and answers that are new, in the order of the log. */
  private collect(): void {
    const { pieces, answers } = this.context.store.state;
    const fresh: Entry[] = [...pieces.slice(this.taken.pieces), ...answers.slice(this.taken.answers)];
    this.taken = { pieces: pieces.length, answers: answers.length };
    fresh.sort((a, b) => seqOf(a) - seqOf(b));
    for (const entry of fresh) {
      if (this.finalFirst && 'payload' in entry && entry.kind === 'final') this.conclude(entry);
      else this.entries.push(entry);
    }
  }

  private conclude(final: Piece): void {
    const end = new AbortController();
    fill(this.outcome, this.make(final, end.signal));
  }

  /** The reader is at the end: show it, and let go what is far above. */
  private catchUp(): void {
    const { length } = this.entries;
    if (length - this.to > MOST) {
      this.clear();
      [this.from, this.to] = [length - STEP, length - STEP];
    }
    while (this.to < length) this.append();
    while (this.shown.length > MOST) {
      this.remove(this.shown.shift()!);
      this.from++;
    }
  }

  /** The reader is elsewhere, or the run is over: what is there stays where it is. */
  private extend(): void {
    const most = this.context.store.state.status === 'finished' || this.finalFirst ? STEP : MOST;
    while (this.to < this.entries.length && this.shown.length < most) this.append();
  }

  private append(): void {
    const end = new AbortController();
    const element = this.make(this.entries[this.to++]!, end.signal);
    this.shown.push({ element, end });
    this.list.append(element);
  }

  private more(direction: 1 | -1): void {
    if (direction === 1) for (let i = 0; i < STEP && this.to < this.entries.length; i++) this.append();
    else {
      // what is in view stays in view
      const below = this.panel.scrollHeight - this.panel.scrollTop;
      for (let i = 0; i < STEP && this.from > 0; i++) {
        const end = new AbortController();
        const element = this.make(this.entries[--this.from]!, end.signal);
        this.shown.unshift({ element, end });
        this.list.prepend(element);
      }
      this.panel.scrollTop = this.panel.scrollHeight - below;
    }
    this.draw();
  }

  private make(entry: Entry, end: AbortSignal): HTMLElement {
    const signal = AbortSignal.any([end, this.context.signal]);
    return 'payload' in entry ? this.piece(entry, signal) : answer(entry, this.context, signal);
  }

  private piece(piece: Piece, signal: AbortSignal): HTMLElement {
    const { source, runId, store } = this.context;
    const title = { result: 'result', action: 'step', final: 'outcome' }[piece.kind];
    const who = piece.agent === null ? '' : ` of ${piece.agent}`;
    const body = h('div', { class: 'kl-piece-body' });
    const element = h(
      'article', { class: 'kl-piece', 'data-kind': piece.kind, 'aria-label': `${title}${who} at ${clock(piece.ts)}`, tabindex: '-1' },
      h(
        'header', { class: 'kl-piece-head' },
        piece.kind === 'final' ? h('strong', { text: 'Result' }) : null,
        piece.kind === 'action' ? h('span', { text: 'step' }) : null,
        piece.agent === null ? null : h('span', { class: 'kl-agent', text: piece.agent }),
        h('time', { class: 'kl-piece-time', datetime: new Date(piece.ts).toISOString(), text: clock(piece.ts).slice(0, 8) }),
      ),
      body,
    );
    const name = `${store.state.row?.flow.split('/').pop() ?? 'run'}-${runId.slice(-8)}-${piece.seq}`;
    const show = (payload: string): void => showBundle(body, payload, { source, runId, signal, name });
    if (piece.payload !== null) show(piece.payload);
    else {
      store.payload(piece, signal).then(show, (error: unknown) => {
        if (!signal.aborted) body.append(h('div', { class: 'kl-problem', role: 'alert', text: String(error) }));
      });
    }
    return element;
  }
}

function seqOf(entry: Entry): number {
  return 'payload' in entry ? entry.seq : entry.closedSeq;
}

/** What was asked, who answered, and what. */
function answer(entry: Answered, { source, runId }: RunContext, signal: AbortSignal): HTMLElement {
  const name = entry.name ?? 'question';
  const text = entry.expired ? 'expired: nobody answered' : `answered by ${entry.by ?? 'somebody'}`;
  const given = h('div', { class: 'kl-piece-body' });
  const details = h(
    'details', {},
    h('summary', {}, h('span', { text: name }), ' ', h('span', { class: 'kl-muted', text }),
      h('time', { class: 'kl-piece-time', datetime: new Date(entry.at).toISOString(), text: clock(entry.at).slice(0, 8) })),
    given,
  );
  details.addEventListener('toggle', () => showValue(given, entry.result, { source, runId, signal }), { once: true });
  const element = h('article', { class: 'kl-piece', 'data-kind': 'answer', 'aria-label': `${name}: ${text}`, tabindex: '-1' }, details);
  if (entry.expired) details.replaceWith(h('div', { class: 'kl-row' }, h('span', { text: name }), h('span', { class: 'kl-muted', text })));
  return element;
}

export const RESULTS_CSS = `
.kl .kl-piece { padding: 7px 2px; min-width: 0; }
.kl .kl-piece + .kl-piece { border-top: 1px solid color-mix(in srgb, var(--kl-border) 60%, transparent); }
.kl .kl-piece-head { float: inline-end; display: flex; gap: 8px; align-items: baseline; margin-inline-start: 12px; font-size: .88em; color: var(--kl-fg2); }
.kl .kl-piece-time { color: var(--kl-fg2); font-variant-numeric: tabular-nums; font-size: .95em; opacity: .8; }
.kl .kl-agent { border: 1px solid var(--kl-border); border-radius: 9px; padding: 0 7px; }
.kl .kl-piece-body { min-width: 0; }
.kl .kl-piece-body > .kl-output:has(.kl-table-box, .kl-prose, .kl-image, .kl-bokeh) { clear: none; }
.kl .kl-piece[data-kind=action] { color: var(--kl-fg2); }
.kl .kl-piece[data-kind=answer] summary { cursor: pointer; }
.kl .kl-piece[data-kind=answer] .kl-piece-time { float: inline-end; }
.kl .kl-piece[data-kind=answer] .kl-piece-body { padding: 6px 0 0 16px; }
.kl .kl-outcome:not(:empty) { margin: 6px 0; border: 1px solid var(--kl-border); border-inline-start: 3px solid var(--kl-ok); border-radius: 4px; padding: 0 10px; }
.kl .kl-outcome .kl-piece-head { float: none; justify-content: space-between; margin: 0 0 3px; }
.kl .kl-pieces > .kl-piece[data-kind=final] > .kl-piece-head { float: none; justify-content: space-between; margin: 0 0 3px; }
.kl .kl-pieces > .kl-piece[data-kind=final] { border: 1px solid var(--kl-border); border-inline-start: 3px solid var(--kl-ok); border-radius: 4px; padding: 7px 10px; margin-top: 6px; }
.kl .kl-pieces-more { display: block; margin: 6px 0; }
`;
