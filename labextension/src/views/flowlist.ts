// Flows in a narrow place: found by words, launched, or put into a notebook as code.

import { Refusal, type Source } from '../sources/source.ts';
import { Unreachable, aborted } from '../sources/transport.ts';
import type { FlowInfo } from '../wire.ts';
import { fill, h, setText } from './dom.ts';
import { plural } from './format.ts';
import { t } from './words.ts';

const TYPED_MS = 200;
/** More than anybody scrolls through; words find the rest. */
const SHOWN = 200;

export interface FlowListOptions {
  launch(flow: string): void;
  insert(flow: string): void;
  /** These flows were told of. */
  seen?(flows: FlowInfo[]): void;
  /** Called with a function that asks the gateway again. */
  waking?(wake: () => void): void;
}

export function mountFlowList(parent: HTMLElement, source: Source, options: FlowListOptions, signal: AbortSignal): void {
  const words = h('input', { type: 'search', placeholder: t('Search flows'), 'aria-label': t('Search flows') });
  const told = h('div', { class: 'kl-flowlist-told kl-muted', role: 'status', text: t('Loading…') });
  const list = h('ul', { class: 'kl-flowlist-items', 'aria-label': t('Flows') });
  const element = h('section', { class: 'kl-flowlist', 'aria-label': t('Flows') });
  element.append(h('div', { class: 'kl-flowlist-head', 'data-lm-suppress-shortcuts': 'true' }, words), told, list);
  parent.append(element);
  signal.addEventListener('abort', () => element.remove(), { once: true });

  const show = (flows: FlowInfo[]): void => {
    options.seen?.(flows);
    const more = flows.length - SHOWN;
    const none = words.value.trim() ? t('No flow fits.') : t('No flows yet. Register a module with flows: kodosumi-lab register package.module');
    setText(told, flows.length === 0 ? none : more > 0 ? `${plural(more, 'more flow')} …` : '');
    fill(list, ...flows.slice(0, SHOWN).map((flow) => item(flow, options)));
  };
  let asked: AbortController | null = null;
  const load = async (): Promise<void> => {
    asked?.abort();
    const now = new AbortController();
    asked = now;
    try {
      show(await source.flows(words.value.trim(), AbortSignal.any([signal, now.signal])));
    } catch (error) {
      if (aborted(error) || error instanceof Unreachable) return; // asked again once the gateway is back
      if (!(error instanceof Refusal)) throw error;
      setText(told, error.message);
    }
  };
  let typed: ReturnType<typeof setTimeout> | undefined;
  words.addEventListener('input', () => {
    clearTimeout(typed);
    typed = setTimeout(() => void load(), TYPED_MS);
  }, { signal });
  signal.addEventListener('abort', () => clearTimeout(typed), { once: true });
  options.waking?.(() => void load());
  source.connection.watch((how) => how === 'live' && void load(), signal);
  if (source.connection.get() !== 'live') void load();
}

function item(flow: FlowInfo, options: FlowListOptions): HTMLElement {
  // of a source that cannot be read there is only its name, and why
  const usable = flow.state !== 'failed' && flow.name !== '';
  const name = flow.name || flow.source;
  const launch = h('button', { type: 'button', class: 'kl-flowlist-name', text: flow.summary || name, disabled: !usable });
  launch.addEventListener('click', () => options.launch(flow.name));
  const insert = h('button', { type: 'button', class: 'kl-link', text: t('Code'), title: t('Insert code that launches it'), 'aria-label': `${t('Insert code')}: ${flow.name}` });
  insert.addEventListener('click', () => options.insert(flow.name));
  return h(
    'li', { 'data-flow-name': usable ? flow.name : null, title: usable ? flow.description : flow.reason },
    h('div', { class: 'kl-flowlist-line' }, launch, usable && insert),
    h('div', { class: 'kl-flowlist-about kl-muted' }, h('code', { class: 'kl-mono', text: name }), flow.tags.length > 0 && ` · ${flow.tags.join(', ')}`),
    flow.reason !== '' && h('div', { class: 'kl-flowlist-why', text: flow.reason }),
  );
}

export const FLOWLIST_CSS = `
.kl .kl-flowlist { display: flex; flex-direction: column; height: 100%; min-height: 0; }
.kl .kl-flowlist-head { padding: 6px 8px; }
.kl .kl-flowlist-head input { width: 100%; }
.kl .kl-flowlist-told { padding: 2px 8px; overflow-wrap: anywhere; }
.kl .kl-flowlist-told:empty { display: none; }
.kl .kl-flowlist-items { list-style: none; margin: 0; padding: 0; overflow: auto; flex: 1 1 0; min-height: 0; }
.kl .kl-flowlist-items li { padding: 5px 8px; border-block-end: 1px solid color-mix(in srgb, var(--kl-border) 50%, transparent); cursor: grab; }
.kl .kl-flowlist-items li:hover { background: var(--kl-bg2); }
.kl .kl-flowlist-line { display: flex; gap: 8px; align-items: baseline; }
.kl button.kl-flowlist-name { flex: 1 1 auto; min-width: 0; border: 0; background: none; padding: 0; text-align: start; font-weight: 600; cursor: pointer;
  overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.kl button.kl-flowlist-name:hover { color: var(--kl-accent); text-decoration: underline; }
.kl button.kl-flowlist-name:disabled { color: var(--kl-fg2); text-decoration: none; cursor: default; }
.kl .kl-flowlist-about { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; font-size: .92em; }
.kl .kl-flowlist-why { color: var(--kl-bad); font-size: .92em; overflow-wrap: anywhere; }
`;
