// The same thing in several languages, a tab each, to be copied.

import { fill, h, setText } from './dom.ts';
import { copy } from './host.ts';
import { Tabs, TABS_CSS } from './run/tabs.ts';
import { t } from './words.ts';

export const SNIPPETS_CSS = `${TABS_CSS}
.kl .kl-snippets { max-width: 50em; }
.kl .kl-snippet { position: relative; }
.kl .kl-snippet pre {
  margin: 6px 0 8px; padding: 9px 76px 9px 10px; min-height: 38px; background: var(--kl-bg2); border-radius: 4px; white-space: pre-wrap; overflow-wrap: anywhere;
  max-height: 24em; overflow-y: auto; font-family: var(--kl-mono); user-select: all;
}
.kl .kl-snippet .kl-btn { position: absolute; top: 6px; right: 6px; }
`;

/** Draw texts by the title of their tab; the function that is returned draws others in their place. */
export function mountSnippets(parent: HTMLElement, signal: AbortSignal): (texts: Record<string, string>) => void {
  const element = h('section', { class: 'kl-snippets', 'aria-label': t('As code') });
  parent.append(element);
  signal.addEventListener('abort', () => element.remove(), { once: true });
  let open: string | null = null;
  return (texts) => {
    const titles = Object.keys(texts);
    const tabs = new Tabs(t('Language'), titles.map((title) => ({ id: title, title, mount: (panel) => snippet(panel, title, texts[title]!) })), (title) => (open = title));
    tabs.update(Object.fromEntries(titles.map((title) => [title, { shown: true }])));
    fill(element, tabs.element, tabs.panels);
    const first = titles.includes(open ?? '') ? open : titles[0];
    if (first) tabs.select(first);
  };
}

function snippet(panel: HTMLElement, title: string, text: string): undefined {
  const button = h('button', { type: 'button', class: 'kl-btn', text: t('Copy'), 'aria-label': t('Copy %1', title) });
  const told = h('span', { class: 'kl-visually-hidden', role: 'status' });
  button.addEventListener('click', () => {
    void copy(text).then((done) => {
      setText(button, done ? t('Copied') : t('Select it'));
      setText(told, done ? t('Copied') : t('It cannot be copied here: select the text'));
      setTimeout(() => setText(button, t('Copy')), 2000);
    });
  });
  panel.append(h('div', { class: 'kl-snippet' }, h('pre', { text }), button, told));
}
