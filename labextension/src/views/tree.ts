// JSON as something to read: texts as they are, the rest as a tree that opens.

import { h } from './dom.ts';

/** Of longer lists and objects the rest comes when it is asked for. */
const SHOWN = 100;

/** A value for people: a text as lines, a number or a word as it is, anything else as a tree. */
export function shownData(value: unknown): HTMLElement {
  if (typeof value === 'string') return h('div', { class: 'kl-tree-text', text: value });
  if (typeof value !== 'object' || value === null) return h('div', { class: 'kl-tree kl-mono' }, leaf(value));
  return h('div', { class: 'kl-tree kl-mono' }, ...entries(value, 0));
}

function entries(value: object, depth: number): HTMLElement[] {
  const all = Array.isArray(value) ? value.map((one: unknown, at): [string, unknown] => [String(at), one]) : Object.entries(value as Record<string, unknown>);
  if (all.length === 0) return [h('span', { class: 'kl-muted', text: Array.isArray(value) ? '[]' : '{}' })];
  const some = (from: number): HTMLElement[] => {
    const rows = all.slice(from, from + SHOWN).map(([key, one]) => entry(key, one, depth));
    const left = all.length - from - SHOWN;
    if (left <= 0) return rows;
    const more = h('button', { type: 'button', class: 'kl-link', text: `${left} more` });
    more.addEventListener('click', () => more.replaceWith(...some(from + SHOWN)));
    return [...rows, more];
  };
  return some(0);
}

function entry(key: string, value: unknown, depth: number): HTMLElement {
  const name = h('span', { class: 'kl-tree-key', text: key });
  if (typeof value !== 'object' || value === null) return h('div', { class: 'kl-tree-row' }, name, leaf(value));
  const size = Object.keys(value).length;
  const said = Array.isArray(value) ? `[${size}]` : `{${size}}`;
  if (size === 0) return h('div', { class: 'kl-tree-row' }, name, h('span', { class: 'kl-muted', text: Array.isArray(value) ? '[]' : '{}' }));
  const made = h('details', { class: 'kl-tree-branch' }, h('summary', {}, name, h('span', { class: 'kl-muted', text: said })));
  const draw = (): void => {
    if (made.children.length === 1) made.append(h('div', { class: 'kl-tree-inner' }, ...entries(value, depth + 1)));
  };
  made.open = depth < 1 && size <= 12;
  if (made.open) draw();
  made.addEventListener('toggle', () => made.open && draw());
  return made;
}

function leaf(value: unknown): HTMLElement {
  return h('span', { class: 'kl-tree-leaf', 'data-kind': value === null ? 'null' : typeof value, text: typeof value === 'string' ? value : JSON.stringify(value) });
}

export const TREE_CSS = `
.kl .kl-tree { overflow: auto; overflow-wrap: anywhere; max-height: 320px; }
.kl .kl-tree-text { white-space: pre-wrap; overflow-wrap: anywhere; max-height: 320px; overflow: auto; }
.kl .kl-tree-row, .kl .kl-tree-branch > summary { padding: 1px 0; }
.kl .kl-tree-row { padding-inline-start: 14px; }
.kl .kl-tree-branch > summary { cursor: pointer; list-style: none; padding-inline-start: 14px; position: relative; border-radius: 3px; }
.kl .kl-tree-branch > summary::-webkit-details-marker { display: none; }
.kl .kl-tree-branch > summary::before { content: '▸'; position: absolute; inset-inline-start: 1px; color: var(--kl-fg2); }
.kl .kl-tree-branch[open] > summary::before { content: '▾'; }
.kl .kl-tree-key { color: var(--kl-fg2); margin-inline-end: 8px; }
.kl .kl-tree-inner { padding-inline-start: 14px; }
.kl .kl-tree-leaf { white-space: pre-wrap; }
.kl .kl-tree-leaf[data-kind=number], .kl .kl-tree-leaf[data-kind=boolean] { color: var(--kl-accent); }
.kl .kl-tree-leaf[data-kind=null] { color: var(--kl-fg2); }
`;
