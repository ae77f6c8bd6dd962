// Finding text in a list: every match is counted and can be gone to where it stands, with what is
// around it; or only the matches are shown. The gateway looks, so nothing has to be here.

import type { Source } from '../../sources/source.ts';
import { aborted } from '../../sources/transport.ts';
import { Value } from '../../sources/value.ts';
import { button, searchField, toggle } from '../controls.ts';
import { h, setText } from '../dom.ts';
import { count } from '../format.ts';
import { ListModel, type Tail } from '../list/model.ts';
import type { VirtualList } from '../list/virtual.ts';
import { t } from '../words.ts';

export class Finder {
  /** What is looked for; empty for nothing. */
  readonly text = new Value('');
  /** Show the matches alone. */
  readonly only = new Value(false);
  /** The event that was gone to last. */
  readonly found = new Value(-1);
  readonly element: HTMLElement;

  private readonly input: HTMLInputElement;
  private readonly told = h('span', { class: 'kl-count', role: 'status' });
  private matches: ListModel | null = null;
  private place = -1;
  private going: AbortController | null = null;

  constructor(
    private readonly source: Source,
    private readonly runId: string,
    private readonly tail: Tail,
    private readonly list: VirtualList,
    private readonly model: ListModel,
    private readonly signal: AbortSignal,
  ) {
    this.input = searchField(t('Search the console'), this.text, signal);
    const previous = button('↑', () => void this.go(-1), signal, t('Previous match'));
    const next = button('↓', () => void this.go(1), signal, t('Next match'));
    const only = toggle(t('Only matches'), this.only, signal);
    this.element = h('span', { class: 'kl-tool-group kl-finder' }, this.input, h('span', { class: 'kl-tool-group' }, previous, next, only, this.told));
    // they are always there: nothing moves away under a pointer when somebody begins to type
    this.text.watch((text) => {
      for (const one of [previous, next, only]) one.disabled = text === '';
    }, signal);
    this.input.addEventListener('keydown', (event) => {
      if (event.key === 'Enter') void this.go(event.shiftKey ? -1 : 1);
    }, { signal });
    signal.addEventListener('abort', () => this.going?.abort(), { once: true });
  }

  focus(): void {
    this.input.focus();
    this.input.select();
  }

  /** Look for the words among the events that the list shows. */
  look(): void {
    this.place = -1;
    this.found.set(-1);
    this.going?.abort();
    const words = this.text.get();
    if (words === '') {
      setText(this.told, '');
      return;
    }
    const filter = { ...this.model.filter, search: words };
    if (this.matches) this.matches.setFilter(filter);
    else {
      this.matches = new ListModel(this.source, this.runId, filter, this.tail, this.signal);
      this.matches.changed.watch(() => this.tell(), this.signal);
      this.matches.failure.watch(() => this.tell(), this.signal);
    }
    this.tell();
  }

  /** Go to the next match or the one before, from the last one gone to or from what is in sight. */
  async go(step: 1 | -1): Promise<void> {
    const matches = this.matches;
    if (!matches || this.text.get() === '' || matches.total === 0) return;
    this.going?.abort();
    this.going = new AbortController();
    const { signal } = this.going;
    try {
      let to = this.place + step;
      if (this.place < 0) {
        const seen = this.model.at(this.list.inSight()[0]);
        const before = seen ? await matches.countUpTo(seen.seq - 1, signal) : 0;
        to = step > 0 ? before : before - 1;
      }
      to = (to + matches.total) % matches.total;
      const event = await matches.row(to, signal);
      if (!event || signal.aborted) return;
      const row = this.only.get() ? to : (await this.model.countUpTo(event.seq, signal)) - 1;
      this.place = to;
      this.found.set(event.seq);
      this.list.show(row, 'middle');
      this.tell();
    } catch (error) {
      if (!aborted(error)) setText(this.told, t('not found: the connection is lost'));
    }
  }

  private tell(): void {
    const matches = this.matches;
    if (!matches || this.text.get() === '') return;
    const { total } = matches;
    if (matches.failure.get()) setText(this.told, t('cannot search now'));
    else if (!matches.ready.get()) setText(this.told, '…');
    else if (total === 0) setText(this.told, t('no match'));
    else setText(this.told, this.place < 0 ? count(total) : t('%1 of %2', count(this.place + 1), count(total)));
  }
}
