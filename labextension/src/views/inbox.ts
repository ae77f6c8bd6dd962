// Everything that waits for a person, over all runs, answered in place.

import type { Source } from '../sources/source.ts';
import { Value } from '../sources/value.ts';
import type { OpenLock } from '../wire.ts';
import { lostWords } from './controls.ts';
import { h, setText } from './dom.ts';
import { absolute, relative } from './format.ts';
import type { Host } from './host.ts';
import { LOCK_CSS, type LockState, mountLock } from './lock.ts';
import { poll } from './poll.ts';
import { t, tn } from './words.ts';

export interface InboxOptions {
  /** Set to how many wait. */
  count?: Value<number>;
  /** Milliseconds between two looks, asked before each. */
  everyMs?: () => number;
}

/** How many wait, for a badge where no inbox is shown; less often than an inbox asks. */
export function inboxCount(source: Source, signal: AbortSignal): Value<number> {
  const count = new Value(0);
  poll(source, () => '/api/v1/locks', (data) => count.set((data as OpenLock[]).length), signal, { everyMs: 2000, hiddenMs: 30_000 });
  return count;
}

export function mountInbox(parent: HTMLElement, source: Source, signal: AbortSignal, host: Host, options: InboxOptions = {}): void {
  new Inbox(parent, source, signal, host, options);
}

class Inbox {
  private readonly element = h('section', { class: 'kl-inbox', 'aria-label': t('Inbox') });
  private readonly told = h('p', { class: 'kl-inbox-told kl-muted', role: 'status', text: t('Loading…') });
  private readonly clear = h('button', { type: 'button', class: 'kl-link', text: t('Clear answered'), hidden: true });
  private readonly problem = h('p', { class: 'kl-problem', hidden: true });
  private readonly list = h('ul', { class: 'kl-inbox-list' });
  private readonly empty = h(
    'div', { class: 'kl-empty', hidden: true },
    h('p', { text: t('Nothing waits for an answer.') }),
    h('p', { text: t('A flow that asks, with await tracer.lock("…"), shows up here by itself.') }),
  );
  private readonly items = new Map<string, Item>();
  private readonly open = new Value<readonly OpenLock[] | null>(null);

  constructor(
    parent: HTMLElement,
    private readonly source: Source,
    private readonly signal: AbortSignal,
    private readonly host: Host,
    private readonly options: InboxOptions,
  ) {
    this.element.append(h('div', { class: 'kl-row kl-inbox-head' }, this.told, this.clear), this.problem, this.list, this.empty);
    parent.append(this.element);
    signal.addEventListener('abort', () => this.element.remove(), { once: true });
    this.clear.addEventListener('click', () => this.sweep());
    const refused = (error: Error): void => {
      setText(this.problem, error.message);
      this.problem.hidden = false;
    };
    poll(source, () => '/api/v1/locks', (data) => this.take(data as OpenLock[]), signal, { refused, ...(options.everyMs ? { everyMs: options.everyMs } : {}) });
    source.connection.watch(() => this.say(), signal);
    const timer = setInterval(() => this.items.forEach((item) => item.times()), 1000);
    signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  }

  private take(locks: OpenLock[]): void {
    locks.sort((a, b) => a.ts.localeCompare(b.ts));
    this.problem.hidden = true;
    const waiting = new Set(locks.map(keyOf));
    for (const [key, item] of this.items) {
      if (waiting.has(key) || item.expanded) continue; // one that is open says by itself what became of it
      item.end();
      this.items.delete(key);
    }
    locks.forEach((lock, at) => {
      if (!this.items.has(keyOf(lock))) this.insert(lock, locks.slice(at + 1));
    });
    this.open.set(locks);
    this.options.count?.set(locks.length);
    this.say();
  }

  private insert(lock: OpenLock, later: OpenLock[]): void {
    const item = new Item(lock, this.source, this.signal, this.host, this.open, () => this.say());
    this.items.set(keyOf(lock), item);
    const next = later.map((one) => this.items.get(keyOf(one))).find((one) => one !== undefined);
    if (next) next.element.before(item.element);
    else this.list.append(item.element);
  }

  private sweep(): void {
    for (const [key, item] of this.items) {
      if (!item.over) continue;
      item.end();
      this.items.delete(key);
    }
    this.say();
  }

  private say(): void {
    const locks = this.open.get();
    const lost = this.source.connection.get() === 'lost';
    this.element.classList.toggle('kl-stale', lost);
    const count = locks === null ? t('Loading…') : locks.length === 0 ? '' : tn('%1 question waiting', '%1 questions waiting', locks.length);
    setText(this.told, lost ? lostWords(this.source) : count);
    this.empty.hidden = locks === null || locks.length > 0 || this.items.size > 0;
    this.clear.hidden = ![...this.items.values()].some((item) => item.over);
  }
}

function keyOf(lock: OpenLock): string {
  return `${lock.run_id} ${lock.lid}`;
}

/** One line, and below it the question once it is opened. */
class Item {
  readonly element = h('li', { class: 'kl-inbox-item' });
  expanded = false;
  private readonly head: HTMLButtonElement;
  private readonly body = h('div', { class: 'kl-inbox-body', hidden: true });
  private readonly since: HTMLElement;
  private readonly until = h('span', { class: 'kl-inbox-until' });
  private readonly mark = h('span', { class: 'kl-inbox-mark' });
  private readonly state = new Value<LockState>('loading');
  private readonly controller = new AbortController();
  private drawn = false;

  constructor(
    private readonly lock: OpenLock,
    private readonly source: Source,
    signal: AbortSignal,
    private readonly host: Host,
    private readonly open: Value<readonly OpenLock[] | null>,
    changed: () => void,
  ) {
    const at = Date.parse(lock.ts);
    this.since = h('time', { datetime: lock.ts, title: absolute(at) });
    const who = h('span', { class: 'kl-muted kl-inbox-who' }, `${lock.flow} · ${lock.user || t('nobody known')} · `, this.since);
    this.head = h(
      'button', { type: 'button', class: 'kl-inbox-line', 'aria-expanded': 'false' },
      h('span', { class: 'kl-inbox-name', text: lock.name ?? t('A question') }), this.mark, who, this.until,
    );
    this.head.addEventListener('click', () => this.toggle());
    const show = host.openRun && h('button', { type: 'button', class: 'kl-link', text: t('Show run'), onclick: () => host.openRun?.(lock.run_id) });
    if (show) this.body.append(h('div', { class: 'kl-row' }, show));
    this.element.append(this.head, this.body);
    signal.addEventListener('abort', () => this.end(), { once: true, signal: this.controller.signal });
    this.state.watch((state) => {
      this.element.dataset['state'] = state;
      setText(this.mark, state === 'answered' ? t('answered') : state === 'closed' ? t('closed') : '');
      changed();
    }, this.controller.signal);
    this.times();
  }

  /** It was answered, or closed otherwise. */
  get over(): boolean {
    return this.state.get() === 'answered' || this.state.get() === 'closed';
  }

  times(): void {
    setText(this.since, relative(Date.parse(this.lock.ts)));
    const expires = this.lock.expires === null ? null : Date.parse(this.lock.expires);
    setText(this.until, expires === null || this.over ? '' : expires > Date.now() ? t('expires %1', relative(expires)) : t('expires now'));
    this.until.classList.toggle('kl-soon', expires !== null && expires - Date.now() < 600_000);
  }

  end(): void {
    this.controller.abort();
    this.element.remove();
  }

  /** What is typed stays when it is closed and opened again. */
  private toggle(): void {
    this.expanded = !this.expanded;
    this.head.setAttribute('aria-expanded', String(this.expanded));
    this.body.hidden = !this.expanded;
    if (this.drawn || !this.expanded) return;
    this.drawn = true;
    const { run_id: runId, lid } = this.lock;
    mountLock(this.body, this.source, runId, lid, this.controller.signal, this.host, { open: this.open, state: this.state, bare: true });
  }
}

export const INBOX_CSS =
  LOCK_CSS +
  `
.kl .kl-inbox-head { justify-content: space-between; min-height: 1.45em; margin-block-end: 6px; }
.kl .kl-inbox-told { margin: 0; }
.kl .kl-inbox-list { list-style: none; margin: 0; padding: 0; display: flex; flex-direction: column; gap: 8px; }
.kl .kl-inbox-item { border: 1px solid var(--kl-border); border-inline-start: 3px solid var(--kl-warn); border-radius: 4px; min-width: 0; }
.kl .kl-inbox-item[data-state=answered] { border-inline-start-color: var(--kl-ok); }
.kl .kl-inbox-item[data-state=closed] { border-inline-start-color: var(--kl-idle); }
.kl button.kl-inbox-line { display: flex; flex-wrap: wrap; align-items: baseline; gap: 2px 12px; width: 100%; padding: 8px 10px; border: 0; border-radius: 3px;
  background: none; text-align: start; cursor: pointer; }
.kl button.kl-inbox-line:hover { background: var(--kl-bg2); }
.kl button.kl-inbox-line::before { content: '▸'; color: var(--kl-fg2); margin-inline-end: -4px; }
.kl button.kl-inbox-line[aria-expanded=true]::before { content: '▾'; }
.kl .kl-inbox-name { font-weight: 600; overflow-wrap: anywhere; }
.kl .kl-inbox-who { flex: 1 1 180px; }
.kl .kl-inbox-mark:empty, .kl .kl-inbox-until:empty { display: none; }
.kl .kl-inbox-mark { color: var(--kl-fg2); }
.kl .kl-inbox-until { color: var(--kl-fg2); }
.kl .kl-inbox-until.kl-soon { color: var(--kl-warn); font-weight: 600; }
.kl .kl-inbox-body { padding: 8px 12px 12px; display: flex; flex-direction: column; gap: 8px; }
.kl .kl-inbox.kl-stale .kl-inbox-list { opacity: .75; }
`;
