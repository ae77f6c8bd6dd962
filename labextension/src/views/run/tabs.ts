// A tab bar as ARIA has it: one stop for the tab key, arrows within, the panel follows. Tabs come
// when they have something to show; a panel is made when it is first looked at.

import { h, setText, uniqueId } from '../dom.ts';
import { count } from '../format.ts';
import type { Draw } from './context.ts';

export interface Tab {
  id: string;
  title: string;
  /** Panels of lists take the height there is; others are as high as what is in them. */
  fills?: boolean;
  mount(panel: HTMLElement): Draw | undefined;
}

/** Whether a tab is there, and the number beside its title. */
export type Shown = Record<string, { shown: boolean; count?: number }>;

interface Held {
  tab: Tab;
  button: HTMLButtonElement;
  number: HTMLElement;
  panel: HTMLElement;
  draw: Draw | undefined;
  mounted: boolean;
}

export class Tabs {
  readonly panels = h('div', { class: 'kl-run-panels' });
  private readonly bar: HTMLElement;
  private readonly held: Held[];
  private current: Held | null = null;

  /** `chosen` is called when a person chooses. */
  constructor(label: string, tabs: Tab[], private readonly chosen: (id: string) => void) {
    this.bar = h('div', { class: 'kl-tabs', role: 'tablist', 'aria-label': label });
    this.held = tabs.map((tab) => this.make(tab));
    this.bar.addEventListener('keydown', (event) => this.key(event));
  }

  get element(): HTMLElement {
    return this.bar;
  }

  get id(): string | null {
    return this.current?.tab.id ?? null;
  }

  /** Which tabs there are now. */
  update(shown: Shown): void {
    for (const { tab, button, number } of this.held) {
      const about = shown[tab.id];
      button.hidden = !about?.shown;
      setText(number, about?.count ? count(about.count) : '');
    }
    this.bar.hidden = this.visible().length < 2;
  }

  select(id: string): void {
    const next = this.held.find(({ tab }) => tab.id === id);
    if (!next || next === this.current) return;
    for (const one of this.held) {
      const here = one === next;
      one.button.setAttribute('aria-selected', String(here));
      one.button.tabIndex = here ? 0 : -1;
      one.panel.hidden = !here;
    }
    this.current = next;
    if (!next.mounted) {
      next.mounted = true;
      next.draw = next.tab.mount(next.panel);
    }
    next.draw?.();
  }

  draw(): void {
    this.current?.draw?.();
  }

  private make(tab: Tab): Held {
    const [tabId, panelId] = [uniqueId('kl-tab'), uniqueId('kl-panel')];
    const number = h('span', { class: 'kl-tab-count' });
    const button = h(
      'button',
      {
        type: 'button', role: 'tab', id: tabId, 'aria-controls': panelId, 'aria-selected': 'false', tabindex: '-1', hidden: true,
        onclick: () => this.choose(tab.id),
      },
      tab.title, number,
    );
    const panel = h('div', { class: `kl-run-panel${tab.fills ? ' kl-run-fills' : ''}`, role: 'tabpanel', id: panelId, 'aria-labelledby': tabId, hidden: true });
    if (!tab.fills) panel.tabIndex = 0;
    this.bar.append(button);
    this.panels.append(panel);
    return { tab, button, number, panel, draw: undefined, mounted: false };
  }

  private choose(id: string): void {
    this.select(id);
    this.chosen(id);
  }

  private visible(): Held[] {
    return this.held.filter(({ button }) => !button.hidden);
  }

  private key(event: KeyboardEvent): void {
    const all = this.visible();
    const at = all.findIndex((one) => one === this.current);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    const next = all[(to + all.length) % all.length];
    if (!next) return;
    event.preventDefault();
    event.stopPropagation();
    this.choose(next.tab.id);
    next.button.focus();
  }
}

export const TABS_CSS = `
.kl .kl-tabs { display: flex; flex-wrap: wrap; gap: 0 2px; border-bottom: 1px solid var(--kl-border); }
.kl .kl-tabs button { border: 0; border-bottom: 2px solid transparent; margin-bottom: -1px; background: none; padding: 5px 9px; cursor: pointer; color: var(--kl-fg2); white-space: nowrap; }
.kl .kl-tabs button:hover { color: var(--kl-fg); background: var(--kl-bg2); }
.kl .kl-tabs button[aria-selected=true] { color: var(--kl-fg); font-weight: 600; border-bottom-color: var(--kl-accent); }
.kl .kl-tabs button:focus-visible { outline-offset: -2px; }
.kl .kl-tab-count { margin-inline-start: 5px; font-weight: 400; font-size: .88em; color: var(--kl-fg2); font-variant-numeric: tabular-nums; }
.kl .kl-tab-count:empty { display: none; }
`;
