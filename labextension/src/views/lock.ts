// One open lock: what is asked, by whom, and the form to answer it in place.

import { type Element, type LockDetail, Refusal, type Source, pause } from '../sources/source.ts';
import { Unreachable, aborted } from '../sources/transport.ts';
import { Value } from '../sources/value.ts';
import type { OpenLock } from '../wire.ts';
import { fill, h, setText } from './dom.ts';
import { jsonFault } from './form/check.ts';
import { complete } from './form/upload.ts';
import { FORM_CSS, type FormHandle, mountForm } from './form.ts';
import { absolute, relative } from './format.ts';
import { type Host, copy } from './host.ts';
import { JSON_CSS, mountJson } from './json.ts';
import { poll } from './poll.ts';
import { t } from './words.ts';

export interface LockOptions {
  /** Everything that waits, where somebody asks for it already; else the lock asks by itself. */
  open?: Value<readonly OpenLock[] | null>;
  /** How it stands: `answered` from here, `closed` by whoever and whatever else. */
  state?: Value<LockState>;
  /** Leave out name and run, where they stand above already. */
  bare?: boolean;
}

export type LockState = 'loading' | 'open' | 'answered' | 'closed';

export function mountLock(
  parent: HTMLElement, source: Source, runId: string, lid: string, signal: AbortSignal, host: Host, options: LockOptions = {},
): void {
  new LockView(parent, source, runId, lid, signal, host, options);
}

class LockView {
  private readonly element = h('section', { class: 'kl-lock' });
  private readonly head = h('header', { class: 'kl-lock-head' });
  private readonly facts = h('div', { class: 'kl-row kl-muted kl-lock-facts' });
  private readonly until = h('span', {});
  private readonly status = h('p', { class: 'kl-lock-status', role: 'status', hidden: true });
  private readonly body = h('div', { class: 'kl-lock-body' });
  private readonly state: Value<LockState>;
  private readonly open: Value<readonly OpenLock[] | null>;
  private about: OpenLock | null = null;
  private detail: LockDetail | null = null;
  private form: FormHandle | null = null;
  private answering = false;
  private looking = false;

  constructor(
    parent: HTMLElement,
    private readonly source: Source,
    private readonly runId: string,
    private readonly lid: string,
    private readonly signal: AbortSignal,
    private readonly host: Host,
    private readonly options: LockOptions,
  ) {
    this.facts.hidden = true;
    this.state = options.state ?? new Value<LockState>('loading');
    this.open = options.open ?? new Value<readonly OpenLock[] | null>(null);
    fill(this.body, h('p', { class: 'kl-muted', text: t('Loading…') }));
    this.element.append(this.head, this.facts, this.status, this.body);
    parent.append(this.element);
    signal.addEventListener('abort', () => this.element.remove(), { once: true });
    void this.load();
    if (!options.open) poll(source, () => '/api/v1/locks', (data) => this.open.set(data as OpenLock[]), signal, { everyMs: 2000 });
    this.open.watch((locks) => this.seen(locks), signal);
    source.connection.watch(() => this.told(), signal);
    const timer = setInterval(() => this.times(), 1000);
    signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  }

  /** Until somebody says how it stands. */
  private async load(): Promise<void> {
    for (let tries = 0; !this.signal.aborted; tries++) {
      try {
        this.detail = await this.source.lock(this.runId, this.lid, this.signal);
        break;
      } catch (error) {
        if (aborted(error)) return;
        if (error instanceof Refusal) {
          fill(this.body, h('p', { class: 'kl-problem', text: error.message }));
          if (error.problem.status < 500) return;
        } else if (!(error instanceof Unreachable)) throw error;
        await pause(Math.min(8000, 500 * 2 ** tries), this.signal);
      }
    }
    if (!this.detail) return;
    this.title();
    if (this.detail.open) this.ask(this.detail);
    else await this.close(this.detail);
  }

  private title(): void {
    const name = this.detail?.name ?? this.about?.name ?? 'A question';
    if (!this.options.bare) fill(this.head, h('h3', { class: 'kl-lock-name', text: name }));
    this.element.setAttribute('aria-label', t('Question: %1', name));
    this.times();
  }

  private times(): void {
    if (this.options.bare) return; // it stands above
    const expires = this.detail?.expires ? this.detail.expires * 1000 : null;
    if (this.facts.childElementCount === 0 && this.detail) {
      this.facts.append(this.until);
    }
    if (this.about && this.facts.firstElementChild === this.until) this.facts.prepend(this.asker(this.about));
    const open = this.state.get() === 'open';
    setText(this.until, !open || expires === null ? '' : expires > Date.now() ? t('expires %1', relative(expires)) : t('expires now'));
    this.until.title = expires === null ? '' : absolute(expires);
    this.facts.hidden = this.facts.textContent === '';
  }

  private asker(about: OpenLock): HTMLElement {
    const since = Date.parse(about.ts);
    const run = h('span', { text: t('%1, started by %2', about.flow, about.user || t('nobody known')) });
    const show = this.host.openRun && h('button', { type: 'button', class: 'kl-link', text: t('Show run'), onclick: () => this.host.openRun?.(this.runId) });
    return h('span', { class: 'kl-row' }, run, h('time', { datetime: about.ts, title: absolute(since), text: t('asked %1', relative(since)) }), show);
  }

  private ask(detail: LockDetail): void {
    this.state.set('open');
    this.body.replaceChildren();
    if (detail.data !== null && detail.data !== undefined) this.body.append(shownData(detail.data, t('What it is about')));
    const free = detail.form === null;
    this.form = mountForm(this.body, {
      elements: detail.form ?? freeForm(),
      source: this.source,
      signal: this.signal,
      submit: { label: t('Answer'), run: (values) => this.answer(values, free) },
    });
    if (this.source.readOnly !== null) this.form.setDisabled(t('Nothing can be answered here: %1.', this.source.readOnly));
    this.times();
  }

  private async answer(values: Record<string, unknown>, free: boolean): Promise<void> {
    this.answering = true;
    try {
      const result = free ? freeAnswer(values) : values;
      // files have to be with the run before its flow goes on
      if (!free && (await complete(this.source, this.runId, values))) this.form?.taken();
      await this.source.answer(this.runId, this.lid, result);
      this.done('answered', t('Answered'));
    } catch (error) {
      if (!(error instanceof Refusal) || error.kind !== 'lock-closed') throw error;
      await this.recheck();
      if (this.state.get() === 'open') throw error;
    } finally {
      this.answering = false;
    }
  }

  /** The list of what waits has come: it may have been closed elsewhere. */
  private seen(locks: readonly OpenLock[] | null): void {
    if (locks === null) return;
    const mine = locks.find((lock) => lock.run_id === this.runId && lock.lid === this.lid);
    if (mine) {
      this.about = mine;
      this.title();
    } else if (this.state.get() === 'open' && !this.answering) void this.recheck();
  }

  private async recheck(): Promise<void> {
    if (this.looking) return;
    this.looking = true;
    try {
      const detail = await this.source.lock(this.runId, this.lid, this.signal);
      if (!detail.open && this.state.get() === 'open') await this.close(detail);
    } catch (error) {
      if (error instanceof Refusal) this.done('closed', error.message);
      else if (!(error instanceof Unreachable) && !aborted(error)) throw error;
    } finally {
      this.looking = false;
    }
  }

  private async close(detail: LockDetail): Promise<void> {
    const { lease } = detail;
    if (lease === null) this.done('closed', t('Closed: the run has ended, or begun again, and nobody answered.'));
    else if (lease.expired) this.done('closed', t('Expired: nobody answered in time.'));
    else {
      const at = await this.answeredAt();
      const when = at === null ? '' : `, ${relative(at)} (${absolute(at)})`;
      this.done('closed', t('%1 has answered%2.', lease.by ?? t('Somebody'), when), lease.result);
    }
  }

  private async answeredAt(): Promise<number | null> {
    try {
      const page = (await this.source.json('GET', `/runs/${this.runId}/events?kind=lease`, undefined, this.signal)) as { items: { ts: string; payload: { lid?: unknown } }[] };
      const found = page.items.find((item) => String(item.payload.lid) === this.lid);
      return found ? Date.parse(found.ts) : null;
    } catch {
      return null; // who it was is known all the same
    }
  }

  private done(state: LockState, text: string, result?: unknown): void {
    if (this.signal.aborted) return;
    const typed = this.form?.dirty() === true && state === 'closed';
    this.state.set(state);
    this.element.dataset['state'] = state;
    setText(this.status, text);
    this.status.hidden = false;
    if (typed && this.form) this.keep(this.form);
    else this.body.replaceChildren();
    if (result !== undefined) this.status.after(h('details', { class: 'kl-lock-answer' }, h('summary', { text: t('The answer') }), shownData(result, t('The answer'))));
    this.times();
  }

  /** What was typed stays, to be read and taken elsewhere. */
  private keep(form: FormHandle): void {
    form.setDisabled(t('What you entered was not sent.'));
    const button = h('button', { type: 'button', class: 'kl-link', text: t('Copy what you entered') });
    button.addEventListener('click', () => {
      void copy(JSON.stringify(form.values(), null, 2)).then((done) => setText(button, done ? t('Copied') : t('It cannot be copied here')));
    });
    this.status.after(button);
  }

  private told(): void {
    const state = this.state.get();
    if (state === 'answered' || state === 'closed') return;
    const lost = this.source.connection.get() === 'lost';
    setText(this.status, lost ? t('Reconnecting… what you enter is kept.') : '');
    this.status.hidden = !lost;
  }
}

/** A text as lines, anything else as a tree. */
function shownData(value: unknown, label: string): HTMLElement {
  const made = h('div', { class: 'kl-lock-data' });
  if (typeof value === 'string') made.append(h('div', { class: 'kl-lock-text', text: value }));
  else if (isFlat(value)) made.append(pairs(value));
  else mountJson(made, value, label);
  return made;
}

type Scalar = string | number | boolean | null;

/** Few words by name need no tree. */
function isFlat(value: unknown): value is Record<string, Scalar> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const all = Object.values(value);
  return all.length > 0 && all.length <= 12 && all.every((one) => typeof one !== 'object' || one === null);
}

function pairs(value: Record<string, Scalar>): HTMLElement {
  const made = h('dl', { class: 'kl-lock-pairs' });
  for (const [name, one] of Object.entries(value)) made.append(h('dt', { class: 'kl-muted', text: name }), h('dd', { text: String(one) }));
  return made;
}

/** What a lock without a form is answered in. */
const freeForm = (): Element[] => [
  { type: 'action', name: 'quick', value: 'yes', text: t('Yes') },
  { type: 'action', name: 'quick', value: 'no', text: t('No') },
  { type: 'textarea', name: 'answer', label: t('Or in words'), rows: 3 },
  { type: 'boolean', name: 'json', option: t('Send as JSON'), help: t('Numbers, lists and objects are JSON; without this, the answer is the text.') },
  { type: 'submit', text: t('Answer') },
];

function freeAnswer(values: Record<string, unknown>): unknown {
  if (values['quick'] === 'yes' || values['quick'] === 'no') return values['quick'] === 'yes';
  const text = typeof values['answer'] === 'string' ? values['answer'] : '';
  if (text === '') throw refused(t('Enter an answer, or choose Yes or No'));
  if (values['json'] !== 'on') return text;
  const fault = jsonFault(text);
  if (fault === null) return JSON.parse(text) as unknown;
  throw refused(fault);
}

function refused(detail: string): Refusal {
  return new Refusal({ type: 'about:blank', title: t('Not sent'), status: 422, detail, errors: { answer: [detail] } });
}

export const LOCK_CSS =
  FORM_CSS +
  JSON_CSS +
  `
.kl .kl-lock-pairs { display: grid; grid-template-columns: minmax(60px, auto) 1fr; gap: 3px 14px; margin: 0; }
.kl .kl-lock-pairs dd { margin: 0; min-width: 0; overflow-wrap: anywhere; white-space: pre-wrap; }
.kl .kl-lock { display: flex; flex-direction: column; gap: 8px; min-width: 0; }
.kl .kl-lock-head:empty { display: none; }
.kl .kl-lock-name { margin: 0; font-size: 1.1em; font-weight: 600; overflow-wrap: anywhere; }
.kl .kl-lock-facts { gap: 2px 14px; }
.kl .kl-lock-status { margin: 0; padding: 6px 10px; border-inline-start: 3px solid var(--kl-warn); background: var(--kl-bg2); overflow-wrap: anywhere; }
.kl .kl-lock[data-state=answered] .kl-lock-status { border-color: var(--kl-ok); }
.kl .kl-lock[data-state=closed] .kl-lock-status { border-color: var(--kl-idle); }
.kl .kl-lock-body { display: flex; flex-direction: column; gap: 12px; }
.kl .kl-lock-body > p { margin: 0; }
.kl .kl-lock-data { padding: 8px 10px; background: var(--kl-bg2); border-radius: 4px; overflow-wrap: anywhere; max-height: 320px; overflow: auto; }
.kl .kl-lock-text { white-space: pre-wrap; }
.kl .kl-lock-answer > summary { cursor: pointer; color: var(--kl-fg2); }
`;
