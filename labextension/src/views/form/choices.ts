// Several of several choices, as boxes; long lists of them are searched.

import type { Element } from '../../sources/source.ts';
import { h, setText } from '../dom.ts';
import { faults } from './check.ts';
import { type Around, type Field, frame, labelOf, optionsOf, titleOf } from './field.ts';
import { t } from '../words.ts';

/** From this many on there is a field to search them. */
const SEARCHED = 12;

export function choicesField(spec: Element, around: Around): Field {
  const options = optionsOf(spec);
  const given = Array.isArray(spec['value']) ? spec['value'] : null;
  const marked = options.filter((option) => option.chosen).map((option) => option.name);
  const first = given ?? (marked.length > 0 ? marked : null);
  const boxes = options.map((option) => h('input', { type: 'checkbox', value: option.name }));
  const lines = options.map((option, at) => h('label', { class: 'kl-form-box' }, boxes[at], h('span', { text: option.label })));
  const told = h('span', { class: 'kl-muted' });
  const made = frame(
    spec,
    (about) => {
      const head = h('div', { class: 'kl-form-choices-head' }, h('span', { class: 'kl-form-label', id: about.labelId }, ...labelOf(spec)), told);
      const list = h('div', { class: 'kl-form-choices' }, ...lines);
      return h('div', {}, head, options.length >= SEARCHED && searched(titleOf(spec), options.map((one) => one.label), lines), list);
    },
    { group: true, bare: true },
  );
  let start = '';
  const chosen = (): string[] => boxes.filter((box) => box.checked).map((box) => box.value);
  const count = (): void => setText(told, t('%1 of %2', chosen().length, options.length));
  const field: Field = {
    name: spec.name ?? '', spec, element: made.row, within: () => around.within(),
    value() {
      const now = chosen();
      return now.length === 0 && start === '[]' ? undefined : now;
    },
    set(value) {
      const names = Array.isArray(value) ? (value as unknown[]) : value === undefined || value === null ? [] : [value];
      for (const box of boxes) box.checked = names.includes(box.value);
      start = JSON.stringify(Array.isArray(value) && value.length === 0 ? ['[]'] : chosen());
      count();
    },
    faults: () => faults(spec, chosen()),
    show: (messages) => made.show(messages, ...boxes),
    focus: () => boxes[0]?.focus(),
  };
  field.set(first);
  for (const box of boxes) {
    box.addEventListener('change', () => {
      count();
      around.changed(field, true);
    });
  }
  return field;
}

function searched(title: string, labels: string[], lines: HTMLElement[]): HTMLElement {
  const input = h('input', { type: 'search', class: 'kl-form-control', placeholder: t('Search'), 'aria-label': t('Search %1', title) });
  input.addEventListener('input', () => {
    const wanted = input.value.trim().toLowerCase();
    lines.forEach((line, at) => (line.hidden = !labels[at]!.toLowerCase().includes(wanted)));
  });
  input.addEventListener('keydown', (event) => {
    if (event.key === 'Enter') event.preventDefault(); // it would send the form
  });
  return input;
}
