// Questions that wait for an answer, answered in place.

import { h } from '../dom.ts';
import type { Host } from '../host.ts';
import { mountLock } from '../lock.ts';
import type { Draw, RunContext } from './context.ts';

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
      else one.element.append(h('button', { type: 'button', class: 'kl-btn', text: 'Dismiss', onclick: () => remove(lid) }));
    }, READ_MS);
    signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
  };

  return () => {
    const { locks: open } = store.state;
    for (const lid of open.keys()) {
      if (held.has(lid)) continue;
      const one: Held = { element: h('div', { class: 'kl-run-lock' }), end: new AbortController(), closing: false };
      held.set(lid, one);
      box.append(one.element);
      mountLock(one.element, source, runId, lid, AbortSignal.any([signal, one.end.signal]), within);
    }
    for (const [lid, one] of held) if (!one.closing && !open.has(lid)) close(lid, one);
    box.hidden = held.size === 0;
  };
}

export const LOCKS_CSS = `
.kl .kl-run-locks { display: flex; flex-direction: column; gap: 8px; }
.kl .kl-run-lock { border: 1px solid var(--kl-border); border-inline-start: 3px solid var(--kl-warn); border-radius: 4px; padding: 8px 12px; }
`;
