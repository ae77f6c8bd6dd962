// A JSON value as a tree that opens and closes, by mouse and by the keys of an ARIA tree.

import { h, setText } from './dom.ts';
import { count, plural } from './format.ts';
import { copy } from './host.ts';
import { t } from './words.ts';

/** Children of one node that are made at once; longer lists are cut into stretches of so many. */
const STRETCH = 100;
/** Rows that are open at the beginning, if they are no more than this. */
const OPEN_ROWS = 24;
/** Longer texts are cut, and open to their full length. */
const TEXT = 160;

type Entry = [label: string, value: unknown, stretch?: boolean];

export function mountJson(parent: HTMLElement, value: unknown, label = 'JSON'): void {
  const said = h('span', { class: 'kl-visually-hidden', role: 'status' });
  const button = h('button', { type: 'button', class: 'kl-link kl-json-copy', text: t('Copy'), onclick: () => void take() });
  const take = async (): Promise<void> => {
    const done = await copy(JSON.stringify(value, null, 2));
    setText(button, done ? t('Copied') : t('Cannot copy'));
    setText(said, button.textContent);
    setTimeout(() => setText(button, t('Copy')), 1500);
  };
  const tree = h('div', { class: 'kl-json-tree', role: 'tree', 'aria-label': label });
  // the value itself is open: what is in it stands at the first level
  const inside = insideOf(value, 1);
  const first = inside && inside.size !== Infinity ? inside.make() : [item(['', value], 1)];
  tree.append(...first);
  first[0]!.tabIndex = 0;
  tree.addEventListener('keydown', (event) => key(tree, event));
  tree.addEventListener('click', (event) => click(tree, event));
  openFirst(first);
  parent.append(h('div', { class: 'kl-json' }, tree, button, said));
}

/** What opening a node shows, made then; `size` is how many rows that will be. */
interface Inside {
  size: number;
  make(): HTMLElement[];
}

const insides = new WeakMap<Element, Inside>();

function item([label, value, stretch]: Entry, level: number): HTMLElement {
  const line = h('span', { class: 'kl-json-line' }, h('span', { class: 'kl-json-mark', 'aria-hidden': 'true' }));
  if (stretch) line.append(h('span', { class: 'kl-muted', text: label }));
  else if (label !== '') line.append(h('span', { class: 'kl-json-key', text: label }), ': ');
  const node = h('div', { role: 'treeitem', 'aria-level': level, tabindex: '-1' }, line);
  const inside = stretch ? rows(value as Entry[], level + 1) : insideOf(value, level + 1);
  if (!inside) {
    line.append(scalar(value));
    return node;
  }
  if (!stretch) line.append(h('span', { class: 'kl-muted kl-json-brief', text: brief(value) }));
  node.setAttribute('aria-expanded', 'false');
  insides.set(node, inside);
  return node;
}

function rows(entries: Entry[], level: number): Inside {
  return { size: entries.length, make: () => entries.map((entry) => item(entry, level)) };
}

function insideOf(value: unknown, level: number): Inside | null {
  if (typeof value === 'string') {
    return value.length > TEXT ? { size: Infinity, make: () => [h('pre', { class: 'kl-json-text', text: value })] } : null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const all: Entry[] = Array.isArray(value) ? value.map((one, i): Entry => [String(i), one]) : Object.entries(value);
  if (all.length === 0) return null;
  if (all.length <= STRETCH) return rows(all, level);
  const stretches: Entry[] = [];
  for (let at = 0; at < all.length; at += STRETCH) {
    const part = all.slice(at, at + STRETCH);
    stretches.push([`${part[0]![0]} … ${part.at(-1)![0]}`, part, true]);
  }
  return rows(stretches, level);
}

function scalar(value: unknown): HTMLElement {
  const kind = value === null ? 'null' : typeof value;
  const shown = kind === 'string' ? JSON.stringify(value) : Array.isArray(value) ? '[]' : kind === 'object' ? '{}' : String(value);
  return h('span', { class: `kl-json-${kind}`, text: shown });
}

/** One line of what is inside. */
function brief(value: unknown): string {
  if (typeof value === 'string') return `${JSON.stringify(value.slice(0, TEXT))}… ${count(value.length)} characters`;
  const list = Array.isArray(value);
  const entries = list ? value.slice(0, 6).map((one): Entry => ['', one]) : Object.entries(value as object).slice(0, 6);
  const size = list ? value.length : Object.keys(value as object).length;
  let text = '';
  for (const [name, one] of entries) {
    const short = typeof one === 'object' && one !== null ? (Array.isArray(one) ? '[…]' : '{…}') : JSON.stringify(one);
    const next = (text ? ', ' : '') + (name ? `${name}: ` : '') + (short.length > 30 ? `${short.slice(0, 29)}…` : short);
    if (text.length + next.length > 70) break;
    text += next;
  }
  const tail = list ? plural(size, 'item') : plural(size, 'key');
  return list ? `[${text}${text ? ' ' : ''}· ${tail}]` : `{${text}${text ? ' ' : ''}· ${tail}}`;
}

function expand(node: Element, open: boolean): void {
  const inside = insides.get(node);
  if (!inside) return;
  node.setAttribute('aria-expanded', String(open));
  const group = node.querySelector(':scope > [role=group]');
  if (group instanceof HTMLElement) group.hidden = !open;
  else if (open) node.append(h('div', { role: 'group' }, ...inside.make()));
}

/** Open from the top as far as it stays easy to look over. */
function openFirst(first: Element[]): void {
  let shown = first.length;
  for (let level = first; level.length > 0; ) {
    shown += level.reduce((sum, node) => sum + (insides.get(node)?.size ?? 0), 0);
    if (shown > OPEN_ROWS) return;
    for (const node of level) expand(node, true);
    level = level.flatMap((node) => [...node.querySelectorAll(':scope > [role=group] > [role=treeitem]')]);
  }
}

function focus(tree: Element, node: Element | null | undefined): void {
  if (!(node instanceof HTMLElement)) return;
  for (const other of tree.querySelectorAll('[role=treeitem][tabindex="0"]')) other.setAttribute('tabindex', '-1');
  node.tabIndex = 0;
  node.focus();
}

function click(tree: Element, event: MouseEvent): void {
  const line = (event.target as Element).closest('.kl-json-line');
  const node = line?.parentElement;
  if (!node || (node.ownerDocument.getSelection()?.toString() ?? '') !== '') return;
  expand(node, node.getAttribute('aria-expanded') !== 'true');
  focus(tree, node);
}

function key(tree: HTMLElement, event: KeyboardEvent): void {
  const node = (event.target as Element).closest('[role=treeitem]');
  if (!node || event.altKey || event.ctrlKey || event.metaKey) return;
  const shown = (): Element[] => [...tree.querySelectorAll('[role=treeitem]')].filter((one) => !one.closest('[role=group][hidden]'));
  const open = node.getAttribute('aria-expanded');
  const at = (step: number): Element | undefined => {
    const all = shown();
    return all[all.indexOf(node) + step];
  };
  switch (event.key) {
    case 'ArrowDown': focus(tree, at(1)); break;
    case 'ArrowUp': focus(tree, at(-1)); break;
    case 'Home': focus(tree, shown()[0]); break;
    case 'End': focus(tree, shown().at(-1)); break;
    case 'ArrowRight':
      if (open === 'false') expand(node, true);
      else focus(tree, node.querySelector(':scope > [role=group] > [role=treeitem]'));
      break;
    case 'ArrowLeft':
      if (open === 'true') expand(node, false);
      else focus(tree, node.parentElement?.closest('[role=treeitem]'));
      break;
    case 'Enter':
    case ' ':
      expand(node, open !== 'true');
      break;
    default: return;
  }
  event.preventDefault();
  event.stopPropagation();
}

export const JSON_CSS = `
.kl .kl-json { position: relative; font-family: var(--kl-mono); font-size: .92em; line-height: 1.5; overflow-x: auto; }
.kl .kl-json [role=group] { padding-inline-start: 16px; }
.kl .kl-json [role=treeitem] { border-radius: 3px; outline-offset: -2px; }
.kl .kl-json [role=treeitem]:focus-visible { outline: none; }
.kl .kl-json [role=treeitem]:focus-visible > .kl-json-line { outline: 2px solid var(--kl-accent); outline-offset: -1px; border-radius: 3px; }
.kl .kl-json-line { display: inline-block; max-width: 100%; padding-inline-end: 4px; overflow-wrap: anywhere; }
.kl .kl-json [aria-expanded] > .kl-json-line { cursor: pointer; }
.kl .kl-json-mark { display: inline-block; width: 16px; color: var(--kl-fg2); }
.kl .kl-json [aria-expanded=false] > .kl-json-line > .kl-json-mark::before { content: '▸'; }
.kl .kl-json [aria-expanded=true] > .kl-json-line > .kl-json-mark::before { content: '▾'; }
.kl .kl-json [aria-expanded=true] > .kl-json-line > .kl-json-brief { display: none; }
.kl .kl-json-key { color: var(--kl-accent); }
.kl .kl-json-string { color: var(--kl-ok); }
.kl .kl-json-number, .kl .kl-json-boolean { color: var(--kl-warn); }
.kl .kl-json-null { color: var(--kl-fg2); font-style: italic; }
.kl .kl-json-text { margin: 2px 0; white-space: pre-wrap; overflow-wrap: anywhere; max-height: 260px; overflow: auto; padding: 4px 8px; background: var(--kl-bg2); }
.kl .kl-json-copy.kl-link { position: absolute; inset: 0 2px auto auto; opacity: 0; background: var(--kl-bg); padding: 0 4px; font-family: var(--kl-font); }
.kl .kl-json:hover .kl-json-copy, .kl .kl-json-copy:focus-visible { opacity: 1; }
@media (hover: none) { .kl .kl-json-copy.kl-link { opacity: 1; } }
`;
