// A JSON value as a tree that opens and closes. Only what is open exists, so large values are cheap.

import { h } from './dom.ts';
import { count, plural } from './format.ts';

/** Children of one value that are shown until somebody asks for more. */
const SHOWN = 100;
/** Characters of a text that are shown until somebody asks for more. */
const CHARACTERS = 400;

/** The tree of a value; its first `open` levels are open. */
export function jsonTree(value: unknown, open = 1): HTMLElement {
  return h('div', { class: 'kl-json' }, node(null, value, open));
}

function node(name: string | null, value: unknown, open: number): HTMLElement {
  const label = name === null ? null : h('span', { class: 'kl-json-key', text: `${name}: ` });
  if (typeof value !== 'object' || value === null) return h('div', { class: 'kl-json-leaf' }, label, scalar(value));
  const entries: [string, unknown][] = Array.isArray(value) ? value.map((item, i) => [String(i), item]) : Object.entries(value);
  const [left, right] = Array.isArray(value) ? ['[', ']'] : ['{', '}'];
  if (entries.length === 0) return h('div', { class: 'kl-json-leaf' }, label, `${left}${right}`);
  const size = Array.isArray(value) ? plural(entries.length, 'item') : plural(entries.length, 'key');
  const head = h('summary', {}, label, h('span', { class: 'kl-muted', text: `${left} ${glance(value)} ${right} ${size}` }));
  const details = h('details', { open: open > 0 }, head);
  const draw = (): void => {
    if (details.open && details.childElementCount === 1) more(details, entries, 0, open - 1);
  };
  details.addEventListener('toggle', draw);
  draw();
  return details;
}

/** The next children, and a button for those after them. */
function more(parent: HTMLElement, entries: [string, unknown][], from: number, open: number): void {
  const to = Math.min(entries.length, from + SHOWN);
  for (const [name, value] of entries.slice(from, to)) parent.append(node(name, value, open));
  if (to === entries.length) return;
  const button = h('button', { class: 'kl-link', type: 'button', text: `${count(entries.length - to)} more` });
  button.addEventListener('click', () => {
    const next = button.previousElementSibling;
    button.remove();
    more(parent, entries, to, open);
    (next?.nextElementSibling?.querySelector('summary') ?? parent.querySelector('summary'))?.focus();
  });
  parent.append(button);
}

/** What a closed value holds, in a few words. */
function glance(value: object): string {
  const words: string[] = [];
  for (const [key, item] of Object.entries(value).slice(0, 4)) {
    const text = typeof item === 'object' && item !== null ? (Array.isArray(item) ? '[…]' : '{…}') : JSON.stringify(item);
    words.push(Array.isArray(value) ? cut(text, 24) : `${key}: ${cut(text, 24)}`);
  }
  if (Object.keys(value).length > 4) words.push('…');
  return cut(words.join(', '), 80);
}

function cut(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length)}…` : text;
}

function scalar(value: unknown): HTMLElement {
  const kind = value === null ? 'null' : typeof value;
  const text = typeof value === 'string' ? value : String(value);
  const shown = kind === 'string' ? JSON.stringify(cut(text, CHARACTERS)) : text;
  const element = h('span', { class: 'kl-json-value', 'data-type': kind, text: shown });
  if (kind !== 'string' || text.length <= CHARACTERS) return element;
  const button = h('button', { class: 'kl-link', type: 'button', text: `${count(text.length)} characters` });
  button.addEventListener('click', () => {
    element.textContent = text;
    element.classList.add('kl-json-long');
  });
  return h('span', {}, element, ' ', button);
}

export const JSON_CSS = `
.kl .kl-json { font-family: var(--kl-mono); font-size: .92em; line-height: 1.5; overflow-wrap: anywhere; }
.kl .kl-json details > :not(summary) { margin-inline-start: 16px; }
.kl .kl-json .kl-json-leaf { padding-inline-start: 13px; }
.kl .kl-json summary { cursor: pointer; overflow: hidden; text-overflow: ellipsis; }
.kl .kl-json details[open] > summary > .kl-muted { opacity: .75; }
.kl .kl-json-key { color: var(--kl-fg2); }
.kl .kl-json-value[data-type=string] { color: var(--kl-ok); }
.kl .kl-json-value[data-type=number] { color: var(--kl-accent); }
.kl .kl-json-value:is([data-type=boolean], [data-type=null]) { color: var(--kl-warn); }
.kl .kl-json-long { white-space: pre-wrap; }
`;
