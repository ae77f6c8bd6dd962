// What narrows the list of runs: text, status, flow, user and time.

import type { RunQuery, Source } from '../../sources/source.ts';
import { aborted } from '../../sources/transport.ts';
import type { Value } from '../../sources/value.ts';
import { type RunRow, STATUSES } from '../../wire.ts';
import { h } from '../dom.ts';
import { conditions } from './list.ts';
import { Tokens } from './tokens.ts';
import { later, t } from '../words.ts';

const HOUR = 3_600_000;
const RANGES: readonly [string, string, number | null][] = [
  ['any', later('Any time'), null], ['hour', later('Last hour'), HOUR], ['day', later('Last 24 hours'), 24 * HOUR], ['week', later('Last 7 days'), 7 * 24 * HOUR],
  ['month', later('Last 30 days'), 30 * 24 * HOUR], ['own', later('From … to …'), null],
];
const PAUSE_MS = 250;

export class Filters {
  readonly element: HTMLElement;
  private readonly search = h('input', { type: 'search', class: 'kl-grow', placeholder: t('Search runs ( / )'), 'aria-label': t('Search runs'), autocomplete: 'off', spellcheck: 'false' });
  private readonly chips = new Map<string, HTMLButtonElement>();
  private readonly range = h('select', { 'aria-label': t('Started') }, ...RANGES.map(([value, text]) => h('option', { value, text: t(text) })));
  private readonly from = h('input', { type: 'datetime-local', 'aria-label': t('Started from') });
  private readonly until = h('input', { type: 'datetime-local', 'aria-label': t('Started before') });
  private readonly own = h('span', { class: 'kl-row', hidden: true }, this.from, '–', this.until);
  private readonly flow: Tokens;
  private readonly user: Tokens;
  private readonly clear = h('button', { type: 'button', class: 'kl-link', text: t('Clear filters') });
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly query: Value<RunQuery>, private readonly rolling: (ms: number | null) => void, source: Source, signal: AbortSignal) {
    this.flow = new Tokens(t('Flow'), (flow) => this.change({ flow }));
    this.user = new Tokens(t('User'), (user) => this.change({ user }));
    const statuses = h('div', { class: 'kl-row kl-runs-chips', role: 'group', 'aria-label': t('Status') });
    for (const status of STATUSES) {
      const chip = h('button', { type: 'button', class: 'kl-chip', 'aria-pressed': 'false' }, h('span', { class: 'kl-status', 'data-status': status, text: t(status) }));
      chip.addEventListener('click', () => this.toggle(status));
      this.chips.set(status, chip);
      statuses.append(chip);
    }
    this.element = h(
      'div', { class: 'kl-runs-filters', role: 'search', 'aria-label': t('Runs') },
      h('div', { class: 'kl-row' }, this.search, this.range, this.flow.element, this.user.element),
      this.own,
      h('div', { class: 'kl-row' }, statuses, this.clear),
    );
    this.listen(signal);
    query.watch((asked) => this.draw(asked), signal);
    this.flow.input.addEventListener('focus', () => void this.names(source, signal), { once: true });
  }

  focus(): void {
    this.search.focus();
    this.search.select();
  }

  reset(): void {
    this.range.value = 'any';
    this.rolling(null);
    const { sort } = this.query.get();
    this.query.set(sort === undefined ? {} : { sort });
  }

  /** Names that can be chosen. */
  offer(rows: readonly RunRow[]): void {
    this.flow.offer(rows.map((row) => row.flow));
    this.user.offer(rows.map((row) => row.user));
  }

  /** Something but the order is asked for. */
  get active(): boolean {
    return this.range.value !== 'any' || conditions(this.query.get()).length > 0;
  }

  private listen(signal: AbortSignal): void {
    this.search.addEventListener('input', () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.change({ search: this.search.value.trim() }), PAUSE_MS);
    });
    signal.addEventListener('abort', () => clearTimeout(this.timer), { once: true });
    this.search.addEventListener('keydown', (event) => {
      if (event.key === 'Enter') this.change({ search: this.search.value.trim() });
    });
    this.clear.addEventListener('click', () => this.reset());
    this.range.addEventListener('change', () => this.ranged());
    for (const input of [this.from, this.until]) input.addEventListener('change', () => this.ranged());
  }

  private toggle(status: string): void {
    const now = this.query.get().status ?? [];
    this.change({ status: now.includes(status) ? now.filter((one) => one !== status) : [...now, status] });
  }

  private ranged(): void {
    const [kind, , ms] = RANGES.find(([value]) => value === this.range.value) ?? RANGES[0]!;
    this.own.hidden = kind !== 'own';
    this.rolling(ms);
    const time = (input: HTMLInputElement): string | undefined => (kind === 'own' && input.value !== '' ? new Date(input.value).toISOString() : undefined);
    const since = ms === null ? time(this.from) : new Date(Date.now() - ms).toISOString();
    this.change({ since, until: time(this.until) });
  }

  private change(some: Partial<RunQuery>): void {
    clearTimeout(this.timer);
    const before = this.query.get();
    const { sort, ...asked } = { ...before, ...some };
    const kept = Object.entries(asked).filter(([name]) => conditions(asked).some(([used]) => used === name));
    const after: RunQuery = { ...(Object.fromEntries(kept) as RunQuery), ...(sort ? { sort } : {}) };
    if (JSON.stringify(after) !== JSON.stringify(before)) this.query.set(after);
  }

  private draw(asked: RunQuery): void {
    for (const [status, chip] of this.chips) chip.setAttribute('aria-pressed', String(asked.status?.includes(status) ?? false));
    if (this.search.value.trim() !== (asked.search ?? '')) this.search.value = asked.search ?? '';
    this.flow.draw(asked.flow ?? []);
    this.user.draw(asked.user ?? []);
    if (asked.since === undefined && asked.until === undefined && this.range.value !== 'own') this.range.value = 'any';
    else if (this.range.value === 'any') {
      this.range.value = 'own';
      this.from.value = local(asked.since);
      this.until.value = local(asked.until);
    }
    this.own.hidden = this.range.value !== 'own';
    this.clear.hidden = !this.active;
  }

  private async names(source: Source, signal: AbortSignal): Promise<void> {
    try {
      this.flow.offer((await source.flows(undefined, signal)).map((flow) => flow.name));
    } catch (error) {
      if (!aborted(error)) return; // those of the rows are offered all the same
    }
  }
}

/** A time as a `datetime-local` input has it. */
function local(time: string | undefined): string {
  if (time === undefined) return '';
  const at = new Date(time);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
