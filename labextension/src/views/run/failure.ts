// Why a run did not end as it should have: the flow's own error and traceback, of each attempt.

import { fill, h } from '../dom.ts';
import { clock } from '../format.ts';
import { copy } from '../host.ts';
import { type Failure, failed } from '../store.ts';
import type { Draw, RunContext } from './context.ts';
import { later, t } from '../words.ts';

const WORDS: Record<string, string> = {
  error: later('The flow failed'),
  lost: later('The run was lost'),
  timeout: later('Time ran out'),
  cancelled: later('The run was cancelled'),
};

export function failure(panel: HTMLElement, { store }: RunContext): Draw {
  let told = '';
  return () => {
    const { state } = store;
    const key = `${state.status} ${state.reason} ${state.failures.length}`;
    if (key === told) return;
    told = key;
    const own = state.failures.filter((one) => one.attempt === state.attempt).at(-1) ?? null;
    const before = state.failures.filter((one) => one !== own);
    fill(
      panel,
      failed(state) && (!own || state.status !== 'error') ? h('p', { class: 'kl-failure-why', text: `${t(WORDS[state.status] ?? state.status)}${state.reason ? `: ${state.reason}` : ''}` }) : null,
      own ? shown(own) : null,
      ...before.reverse().map((one) => h('details', { open: !own }, h('summary', { text: t('Attempt %1, %2: %3', one.attempt, clock(one.ts).slice(0, 8), one.type) }), shown(one))),
    );
  };
}

function shown(one: Failure): HTMLElement {
  const button = h('button', { type: 'button', class: 'kl-link', text: t('Copy') });
  button.addEventListener('click', () => {
    void copy(one.traceback || `${one.type}: ${one.message}`).then((done) => {
      button.textContent = done ? t('Copied') : t('Cannot copy');
      setTimeout(() => (button.textContent = t('Copy')), 1500);
    });
  });
  const head = h('div', { class: 'kl-failure-head' }, h('strong', { class: 'kl-mono', text: one.type }), h('span', { text: one.message }), button);
  return h('div', { class: 'kl-failure' }, head, one.traceback ? h('pre', { class: 'kl-traceback', tabindex: '0', 'aria-label': t('Traceback') }, ...lines(one.traceback)) : null);
}

/** Where it happened stands out, and what it was. */
function lines(traceback: string): HTMLElement[] {
  return traceback.trimEnd().split('\n').map((text) => {
    const kind = /^\s+File "/.test(text) ? 'file' : /^\s/.test(text) || text.startsWith('Traceback') ? 'code' : 'error';
    return h('span', { class: `kl-trace-${kind}`, text: `${text}\n` });
  });
}

export const FAILURE_CSS = `
.kl .kl-failure-why { margin: 8px 0; }
.kl .kl-failure { margin: 8px 0; }
.kl .kl-failure-head { display: flex; flex-wrap: wrap; gap: 2px 10px; align-items: baseline; overflow-wrap: anywhere; }
.kl .kl-failure-head > span { flex: 1 1 auto; min-width: 0; }
.kl .kl-failure-head strong { color: var(--kl-bad); }
.kl .kl-traceback { margin: 6px 0 0; padding: 8px 10px; background: color-mix(in srgb, var(--kl-fg) 7%, var(--kl-bg)); border-radius: 4px; font-family: var(--kl-mono); font-size: .92em; line-height: 1.5; overflow: auto; white-space: pre; }
.kl .kl-trace-file { color: var(--kl-fg2); }
.kl .kl-trace-error { color: var(--kl-bad); font-weight: 600; }
`;
