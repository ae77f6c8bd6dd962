// What a flow has shown, in order, with the questions it was answered in between. A stretch of it is
// in the page: the newest while the run goes on, and it follows the end only while the reader is there.

import { fill, h, setText } from '../dom.ts';
import { absolute, clock, count, plural } from '../format.ts';
import { showBundle, showValue } from '../output.ts';
import { type Answered, type Piece, ended } from '../store.ts';
import type { Draw, RunContext } from './context.ts';
import { t } from '../words.ts';

/** Pieces that are made at once, and that are in the page at most. */
const STEP = 40;
const MOST = 160;

type Entry = Piece | Answered;

interface Shown {
  entry: Entry;
  element: HTMLElement;
  end: AbortController;
}

export function results(panel: HTMLElement, context: RunContext): Draw {
  return new Results(panel, context).draw;
}

class Results {
  private readonly list = h('div', { class: 'kl-pieces' });
  private readonly outcome = h('div', { class: 'kl-outcome' });
  private readonly earlier = h('button', { type: 'button', class: 'kl-link kl-pieces-more', onclick: () => this.more(-1), hidden: true });
  private readonly later = h('button', { type: 'button', class: 'kl-link kl-pieces-more', onclick: () => this.more(1), hidden: true });
  private readonly empty = h('div', { class: 'kl-empty' });
  private entries: Entry[] = [];
  private pieces: Piece[] | null = null;
  private taken = { seq: -1, answers: 0 };
  private final: Piece | null = null;
  /** Buttons that stand for what the overview left out, by the piece after it. */
  private readonly holes = new Map<Piece, HTMLElement>();
  /** The entries that are in the page: from, up to. */
  private from = 0;
  private to = 0;
  private readonly shown: Shown[] = [];
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
    for (const { entry, element } of this.shown) if ('payload' in entry) this.open(entry, element);
    if (this.final && this.to === this.entries.length) this.open(this.final, null);
    this.earlier.hidden = this.from === 0;
    setText(this.earlier, t('Show %1', plural(this.from, 'earlier result')));
    const rest = this.entries.length - this.to;
    this.later.hidden = rest === 0;
    setText(this.later, t('Show %1 more', count(rest)));
    // a feed without articles is none
    if (this.shown.length > 0) this.list.setAttribute('role', 'feed');
    else this.list.removeAttribute('role');
    this.empty.hidden = this.entries.length > 0 || this.outcome.childElementCount > 0;
    setText(this.empty, ended(state) ? t('This run has shown nothing.') : t('Nothing yet.'));
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
    this.taken = { seq: -1, answers: 0 };
    this.final = null;
    this.clear();
    [this.from, this.to] = [0, 0];
    fill(this.outcome);
  }

  private clear(): void {
    for (const one of this.shown.splice(0)) this.remove(one);
  }

  private remove({ entry, element, end }: Shown): void {
    end.abort();
    element.remove();
    if ('payload' in entry) this.close(entry);
  }

  /** Pieces and answers that are new, in the order of the log. */
  private collect(): void {
    const { pieces, answers } = this.context.store.state;
    let from = pieces.length;
    while (from > 0 && pieces[from - 1]!.seq > this.taken.seq) from--;
    const fresh: Entry[] = [...pieces.slice(from), ...answers.slice(this.taken.answers)];
    this.taken = { seq: pieces.at(-1)?.seq ?? -1, answers: answers.length };
    fresh.sort((a, b) => seqOf(a) - seqOf(b));
    for (const entry of fresh) {
      if (this.finalFirst && 'payload' in entry && entry.kind === 'final') this.conclude(entry);
      else this.entries.push(entry);
    }
  }

  /** A button where pieces are left out, in front of the one that comes after them. */
  private open(piece: Piece, element: HTMLElement | null): void {
    if (!piece.missing || this.holes.has(piece)) return;
    const button = h('button', { type: 'button', class: 'kl-link kl-pieces-more', text: t('Show %1 in between', plural(piece.missing, 'result')) });
    button.addEventListener('click', () => void this.fetch(piece, button));
    this.holes.set(piece, button);
    this.list.insertBefore(button, element);
  }

  private close(piece: Piece): void {
    this.holes.get(piece)?.remove();
    this.holes.delete(piece);
  }

  private async fetch(piece: Piece, button: HTMLButtonElement): Promise<void> {
    button.disabled = true;
    try {
      const found = await this.context.store.fetchBefore(piece, this.context.signal);
      this.close(piece);
      for (const one of found) this.insert(one);
      this.draw();
    } catch (error) {
      if (this.context.signal.aborted) return;
      button.disabled = false;
      setText(button, t('%1 – try again', error instanceof Error ? error.message : String(error)));
    }
  }

  /** A piece that comes late, at its place. */
  private insert(piece: Piece): void {
    let at = this.entries.length;
    while (at > 0 && seqOf(this.entries[at - 1]!) > piece.seq) at--;
    this.entries.splice(at, 0, piece);
    if (at < this.from) {
      this.from++;
      this.to++;
    } else if (at <= this.to) {
      const one = this.made(piece);
      this.list.insertBefore(one.element, this.shown[at - this.from]?.element ?? null);
      this.shown.splice(at - this.from, 0, one);
      this.to++;
    }
  }

  private conclude(final: Piece): void {
    this.final = final;
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
    const one = this.made(this.entries[this.to++]!);
    this.shown.push(one);
    this.list.append(one.element);
  }

  private more(direction: 1 | -1): void {
    if (direction === 1) for (let i = 0; i < STEP && this.to < this.entries.length; i++) this.append();
    else {
      // what is in view stays in view
      const below = this.panel.scrollHeight - this.panel.scrollTop;
      for (let i = 0; i < STEP && this.from > 0; i++) {
        const one = this.made(this.entries[--this.from]!);
        this.shown.unshift(one);
        this.list.prepend(one.element);
      }
      this.panel.scrollTop = this.panel.scrollHeight - below;
    }
    this.draw();
  }

  private made(entry: Entry): Shown {
    const end = new AbortController();
    return { entry, element: this.make(entry, end.signal), end };
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
      'article', { class: 'kl-piece', 'data-kind': piece.kind, 'aria-label': t('%1%2 at %3', title, who, clock(piece.ts)), tabindex: '-1' },
      h(
        'header', { class: 'kl-piece-head' },
        piece.kind === 'final' ? h('strong', { text: t('Result') }) : null,
        piece.agent === null ? null : h('span', { class: 'kl-agent', text: piece.agent }),
        piece.kind === 'action' ? h('span', { text: t('step') }) : null,
      ),
      timeOf(piece.ts),
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

function timeOf(ts: number): HTMLElement {
  return h('time', { class: 'kl-piece-time', datetime: new Date(ts).toISOString(), title: absolute(ts), text: clock(ts).slice(0, 8) });
}

function seqOf(entry: Entry): number {
  return 'payload' in entry ? entry.seq : entry.closedSeq;
}

/** What was asked, who answered, and what. */
function answer(entry: Answered, { source, runId }: RunContext, signal: AbortSignal): HTMLElement {
  const name = entry.name ?? 'question';
  const text = entry.expired ? t('expired: nobody answered') : t('answered by %1', entry.by ?? 'somebody');
  const given = h('div', { class: 'kl-piece-body' });
  const line = [h('span', { text: name }), ' ', h('span', { class: 'kl-muted', text })];
  const details = h('details', {}, h('summary', {}, ...line), given);
  details.addEventListener('toggle', () => showValue(given, entry.result, { source, runId, signal }), { once: true });
  const body = entry.expired ? h('div', {}, ...line) : details;
  return h('article', { class: 'kl-piece', 'data-kind': 'answer', 'aria-label': `${name}: ${text}`, tabindex: '-1' }, timeOf(entry.at), h('div', { class: 'kl-piece-body' }, body));
}

export const RESULTS_CSS = `
.kl .kl-piece { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 2px 12px; padding: 7px 2px; min-width: 0; }
.kl .kl-piece + .kl-piece { border-top: 1px solid color-mix(in srgb, var(--kl-border) 60%, transparent); }
.kl .kl-piece-head { grid-column: 1; display: flex; gap: 8px; align-items: baseline; color: var(--kl-fg2); font-size: .92em; }
.kl .kl-piece-head:empty { display: none; }
.kl .kl-piece-time { grid-column: 2; grid-row: 1; color: var(--kl-fg2); font-variant-numeric: tabular-nums; font-size: .88em; }
.kl .kl-agent { border: 1px solid var(--kl-border); border-radius: 9px; padding: 0 7px; }
.kl .kl-piece-body { grid-column: 1; min-width: 0; }
.kl .kl-piece[data-kind=action] { color: var(--kl-fg2); }
.kl .kl-piece[data-kind=answer] summary { cursor: pointer; }
.kl .kl-piece[data-kind=answer] .kl-piece-body .kl-piece-body { padding: 6px 0 0 16px; }
.kl .kl-piece[data-kind=final] { border: 1px solid var(--kl-border); border-inline-start: 3px solid var(--kl-ok); border-radius: 4px; padding: 6px 10px; margin: 6px 0; }
.kl .kl-pieces-more { display: block; margin: 6px 0; }
@container (max-width: 480px) {
  .kl .kl-piece { grid-template-columns: minmax(0, 1fr); }
  .kl .kl-piece-time { display: none; }
}
`;
