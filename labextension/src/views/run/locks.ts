// Questions that wait for an answer, answered in place.

import { Value } from '../../sources/value.ts';
import type { OpenLock } from '../../wire.ts';
import { h } from '../dom.ts';
import { absolute, clock } from '../format.ts';
import type { Host } from '../host.ts';
import { mountLock } from '../lock.ts';
import type { Asked, RunState } from '../store.ts';
import type { Draw, RunContext } from './context.ts';
import { t } from '../words.ts';

/** How long what was said of an answer stays to be read. */
const READ_MS = 2_500;

interface Held {
  element: HTMLElement;
  end: AbortController;
  closing: boolean;
}

export function locks(parent: HTMLElement, { store, source, runId, signal, host }: RunContext): Draw {
  const box = h('div', { class: 'kl-run-locks', hidden: true });
  parent.append(box);
  const held = new Map<string, Held>();
  // the run is here already
  const within: Host = { ...host, openRun: undefined };
  // the events tell of each lock, so that nobody has to ask for all of them again and again
  const known = new Value<readonly OpenLock[] | null>(null);

  const remove = (lid: string): void => {
    const one = held.get(lid);
    held.delete(lid);
    one?.end.abort();
    one?.element.remove();
    box.hidden = held.size === 0;
  };

  const close = (lid: string, one: Held): void => {
    one.closing = true;
    const timer = setTimeout(() => {
      // what somebody has typed meanwhile is not taken away
      if (!one.element.querySelector('[data-dirty]')) remove(lid);
      else one.element.append(h('button', { type: 'button', class: 'kl-btn', text: t('Dismiss'), onclick: () => remove(lid) }));
    }, READ_MS);
    signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
  };

  return () => {
    const { locks: open } = store.state;
    if (open.size !== known.get()?.length || known.get()?.some(({ lid }) => !open.has(lid))) known.set(openLocks(runId, store.state));
    for (const [lid, asked] of open) {
      if (held.has(lid)) continue;
      const one: Held = { element: h('div', { class: 'kl-run-lock' }, title(asked)), end: new AbortController(), closing: false };
      held.set(lid, one);
      box.append(one.element);
      mountLock(one.element, source, runId, lid, AbortSignal.any([signal, one.end.signal]), within, { open: known, bare: true });
    }
    for (const [lid, one] of held) if (!one.closing && !open.has(lid)) close(lid, one);
    box.hidden = held.size === 0;
  };
}

function title(asked: Asked): HTMLElement {
  const agent = asked.agent === null ? null : h('span', { class: 'kl-agent', text: asked.agent });
  const since = h('time', { class: 'kl-muted', datetime: new Date(asked.ts).toISOString(), title: absolute(asked.ts), text: t('since %1', clock(asked.ts).slice(0, 5)) });
  return h('div', { class: 'kl-row kl-run-lock-head' }, h('h3', { text: asked.name ?? t('A question') }), agent, h('span', { class: 'kl-grow' }), since);
}

function openLocks(runId: string, { locks: open, row }: RunState): OpenLock[] {
  return [...open.values()].map(({ lid, name, ts, expires }) => ({
    lid, name, ts: new Date(ts).toISOString(), expires: expires === null ? null : new Date(expires).toISOString(), run_id: runId, flow: row?.flow ?? '', user: row?.user ?? '',
  }));
}

export const LOCKS_CSS = `
.kl .kl-run-locks { display: flex; flex-direction: column; gap: 8px; }
.kl .kl-run-lock { border: 1px solid var(--kl-border); border-inline-start: 3px solid var(--kl-warn); border-radius: 4px; padding: 8px 12px; }
.kl .kl-run-lock-head h3 { margin: 0; font-size: 1.08em; font-weight: 600; overflow-wrap: anywhere; }
`;
