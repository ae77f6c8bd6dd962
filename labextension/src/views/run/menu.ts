// A button that opens a menu: arrows, Home, End, Escape, and gone when the focus leaves it.

import { h } from '../dom.ts';

export interface MenuItem {
  label: string;
  run: () => void;
}

export function menu(label: string, sign: string, items: MenuItem[]): HTMLElement {
  const list = h('div', { class: 'kl-menu', role: 'menu', 'aria-label': label, hidden: true });
  const button = h('button', {
    type: 'button', class: 'kl-btn', 'aria-label': label, title: label, 'aria-haspopup': 'menu', 'aria-expanded': 'false', text: sign,
    onclick: () => toggle(list.hasAttribute('hidden')),
  });
  const entries = items.map(({ label: text, run }) =>
    h('button', {
      type: 'button', role: 'menuitem', tabindex: '-1', text,
      onclick: () => {
        toggle(false);
        button.focus();
        run();
      },
    }),
  );
  list.append(...entries);
  const box = h('span', { class: 'kl-menu-box' }, button, list);

  const toggle = (open: boolean): void => {
    list.hidden = !open;
    button.setAttribute('aria-expanded', String(open));
    if (!open) return;
    // to the side where there is room
    const left = box.closest('.kl')?.getBoundingClientRect().left ?? 0;
    list.classList.toggle('kl-menu-start', box.getBoundingClientRect().right - list.offsetWidth < left);
    entries[0]?.focus();
  };
  box.addEventListener('focusout', (event) => {
    if (!(event.relatedTarget instanceof Node && box.contains(event.relatedTarget))) toggle(false);
  });
  box.addEventListener('keydown', (event) => {
    const at = entries.findIndex((entry) => entry === event.target);
    const to = { ArrowDown: at + 1, ArrowUp: at < 0 ? -1 : at - 1, Home: 0, End: -1 }[event.key];
    if (event.key === 'Escape' && !list.hidden) {
      toggle(false);
      button.focus();
    } else if (to !== undefined) {
      if (list.hidden) toggle(true);
      entries.at(to % entries.length)?.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  return box;
}

export const MENU_CSS = `
.kl .kl-menu-box { position: relative; display: inline-flex; }
.kl .kl-menu { position: absolute; inset: 100% 0 auto auto; z-index: 20; margin-top: 3px; padding: 4px; min-width: 190px; display: flex; flex-direction: column;
  background: var(--kl-bg); border: 1px solid var(--kl-border); border-radius: 5px; box-shadow: 0 4px 14px color-mix(in srgb, var(--kl-fg) 22%, transparent); }
.kl .kl-menu.kl-menu-start { inset-inline: 0 auto; }
.kl .kl-menu button { border: 0; background: none; padding: 5px 10px; text-align: start; border-radius: 3px; cursor: pointer; white-space: nowrap; }
.kl .kl-menu button:is(:hover, :focus) { background: var(--kl-bg2); }
`;
