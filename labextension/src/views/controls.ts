// Small controls that several views have: toggles, a button back to the end, a line that says how it stands.

import type { Connection, Source } from '../sources/source.ts';
import { Value } from '../sources/value.ts';
import { h, setText } from './dom.ts';
import { plural } from './format.ts';
import type { ListModel } from './list/model.ts';
import type { VirtualList } from './list/virtual.ts';
import { t } from './words.ts';

/** A button that is on or off. */
export function toggle(label: string, state: Value<boolean>, signal: AbortSignal, title?: string): HTMLButtonElement {
  const button = h('button', { class: 'kl-btn kl-toggle', type: 'button', title, text: label });
  button.addEventListener('click', () => state.set(!state.get()), { signal });
  state.watch((on) => button.setAttribute('aria-pressed', String(on)), signal);
  return button;
}

/** A button that does something. */
export function button(label: string, act: () => void, signal: AbortSignal, title?: string): HTMLButtonElement {
  const made = h('button', { class: 'kl-btn', type: 'button', title, 'aria-label': title, text: label });
  made.addEventListener('click', act, { signal });
  return made;
}

/** A field for words, whose value is told when nobody has typed for a moment, or at Enter. */
export function searchField(label: string, state: Value<string>, signal: AbortSignal): HTMLInputElement {
  const input = h('input', { type: 'search', placeholder: label, 'aria-label': label, class: 'kl-search', spellcheck: 'false' });
  let timer: ReturnType<typeof setTimeout> | undefined;
  const tell = (): void => {
    clearTimeout(timer);
    state.set(input.value);
  };
  input.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(tell, input.value === '' ? 0 : 220);
  }, { signal });
  input.addEventListener('change', tell, { signal });
  input.addEventListener('keydown', (event) => {
    if (event.key === 'Enter') tell();
    if (event.key !== 'Escape' || input.value === '') return;
    event.stopPropagation();
    input.value = '';
    tell();
  }, { signal });
  signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
  return input;
}

/** The choice of an agent; `null` is all of them, `''` the flow itself. It is hidden while there is none to choose. */
export class AgentChoice {
  readonly chosen = new Value<string | null>(null);
  readonly element = h('select', { 'aria-label': t('Agent'), hidden: true });
  private names = '';

  constructor(signal: AbortSignal) {
    this.element.addEventListener('change', () => {
      const { value } = this.element;
      this.chosen.set(value === '*' ? null : value.slice(1));
    }, { signal });
  }

  offer(names: Iterable<string>): void {
    const sorted = [...names].sort();
    const key = sorted.join('\n');
    if (key === this.names) return;
    this.names = key;
    const before = this.element.value || '*';
    this.element.replaceChildren(
      h('option', { value: '*', text: t('All agents') }),
      h('option', { value: '=', text: t('The flow itself') }),
      ...sorted.map((name) => h('option', { value: `=${name}`, text: name })),
    );
    this.element.value = before;
    this.element.hidden = sorted.length === 0;
  }
}

/** The button over a list that leads back to its end, and says what has come meanwhile. */
export function endButton(list: VirtualList, model: ListModel, noun: string, signal: AbortSignal): HTMLElement {
  const made = button('', () => {
    list.follow(true);
    list.element.focus({ preventScroll: true });
  }, signal);
  made.classList.add('kl-to-end');
  let left = 0;
  const draw = (): void => {
    const more = model.total - left;
    made.hidden = list.following.get() || list.element.scrollHeight <= list.element.clientHeight + 4;
    setText(made, more > 0 ? `↓ ${plural(more, `new ${noun}`)}` : t('↓ To the end'));
  };
  const leave = (): void => {
    left = model.total;
    draw();
  };
  list.following.watch(leave, signal);
  model.ready.watch(leave, signal);
  list.drawn.watch(draw, signal);
  return made;
}

/** What to say while nothing answers. */
export function lostWords(source: Source): string {
  return source.away === '' ? t('Reconnecting…') : t('Reconnecting: %1 does not answer.', t(source.away));
}

/** What the connection is, in words that are empty while all is well. */
export function connectionWords(source: Source, told: (words: string) => void, signal: AbortSignal): void {
  const words: Record<Connection, string> = { connecting: '', live: '', lost: t('Reconnecting …') };
  source.connection.watch((state) => told(words[state]), signal);
}

export const CONTROLS_CSS = `
.kl .kl-tools { display: flex; flex-wrap: wrap; align-items: center; gap: 6px; padding: 6px 0; }
.kl .kl-tools > .kl-search { flex: 1 1 160px; min-width: 110px; max-width: 340px; }
.kl .kl-tools > .kl-finder { flex: 1 1 420px; }
.kl .kl-finder > .kl-search { flex: 1 1 110px; min-width: 90px; max-width: 340px; }
.kl .kl-tools .kl-tool-group { display: inline-flex; flex-wrap: wrap; gap: 4px; align-items: center; }
.kl button.kl-btn.kl-toggle[aria-pressed=true] { background: color-mix(in srgb, var(--kl-accent) 16%, var(--kl-bg)); border-color: var(--kl-accent); }
.kl .kl-count { min-width: 14ch; color: var(--kl-fg2); font-variant-numeric: tabular-nums; }
.kl .kl-foot { display: flex; flex-wrap: wrap; gap: 4px 14px; padding: 4px 0; color: var(--kl-fg2); min-height: 26px; font-variant-numeric: tabular-nums; }
.kl .kl-listed { display: flex; flex-direction: column; flex: 0 1 auto; min-height: 0; }
.kl .kl-listed > * { flex: none; }
.kl .kl-list-box { position: relative; display: flex; flex-direction: column; min-height: 62px; border: 1px solid var(--kl-border); border-radius: 4px; overflow: hidden; }
.kl .kl-listed > .kl-list-box { flex: 0 1 auto; }
.kl .kl-list-box > .kl-list { flex: 0 1 auto; min-height: 60px; max-height: var(--kl-list-height, max(400px, 65vh)); }
.kl button.kl-to-end { position: absolute; inset-inline-end: 22px; bottom: 18px; box-shadow: 0 1px 6px color-mix(in srgb, var(--kl-fg) 30%, transparent); }
.kl .kl-list-box > .kl-empty { position: absolute; inset: 0; pointer-events: none; }
`;
