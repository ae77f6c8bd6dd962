// Fields with one control: lines of text, numbers, dates, secrets, longer texts, boxes and choices.

import type { Element } from '../../sources/source.ts';
import { h } from '../dom.ts';
import { faults, isSecret, numberOf, wordOf } from './check.ts';
import { type Around, type Field, type Frame, frame, labelOf, optionsOf, titleOf } from './field.ts';
import { later, t } from '../words.ts';

type Control = HTMLInputElement | HTMLTextAreaElement;

/** Types whose empty text is a text; of all others it is nothing. */
const KEEPS_EMPTY = ['text', 'textarea'];

/** A value as a control shows it. */
export function shown(type: string, value: unknown): string {
  if (value === null || value === undefined || isSecret(value)) return '';
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  // a browser's own controls know no finer times than these, and show none that are
  if (type === 'time' || type === 'datetime-local') return text.replace(' ', 'T').replace(/(\.\d{3})\d+$/, '$1');
  return text;
}

/** The second word of the keys that bounds have. */
const BOUNDS: Record<string, string> = { date: 'date', time: 'time', 'datetime-local': 'datetime' };

/** An `<input>` for an element, without its value. Also for the items of lists. */
export function inputOf(spec: Element, props: Record<string, unknown> = {}): HTMLInputElement {
  const bound = (word: string): string | null =>
    wordOf(spec, `${word}_${BOUNDS[spec.type] ?? 'value'}`);
  const step = wordOf(spec, 'step');
  return h('input', {
    type: spec.type === 'other' ? 'text' : spec.type,
    class: `kl-form-control kl-form-${spec.type}`,
    min: bound('min'),
    max: bound('max'),
    step: step ?? (spec.type === 'number' ? 'any' : null),
    inputmode: spec.type === 'number' ? (step !== null && Number.isInteger(Number(step)) ? 'numeric' : 'decimal') : null,
    size: numberOf(spec, 'size'),
    autocomplete: spec.type === 'password' ? 'new-password' : 'off',
    spellcheck: spec.type === 'text' ? null : 'false',
    placeholder: wordOf(spec, 'placeholder'),
    ...props,
  });
}

/** A line, a number, a time, a secret. */
export function inputField(spec: Element, around: Around): Field {
  return typed(spec, around, (made) => {
    const control = inputOf(spec, { id: made.id, 'aria-describedby': made.describedBy, required: spec['required'] === true });
    return { control, holder: spec.type === 'password' ? revealable(control, titleOf(spec)) : control };
  });
}

/** A text of several lines. */
export function areaField(spec: Element, around: Around): Field {
  return typed(spec, around, (made) => {
    const lines = typeof spec['value'] === 'string' ? spec['value'].split('\n').length : 0;
    const rows = Math.min(30, Math.max(2, numberOf(spec, 'rows') ?? 4, Math.min(15, lines)));
    const control = h('textarea', {
      id: made.id, class: 'kl-form-control', rows, cols: numberOf(spec, 'cols'), required: spec['required'] === true,
      placeholder: wordOf(spec, 'placeholder'), 'aria-describedby': made.describedBy,
    });
    return { control, holder: control };
  });
}

function typed(spec: Element, around: Around, make: (made: Frame) => { control: Control; holder: HTMLElement }): Field {
  let control!: Control;
  const made = frame(spec, (about) => {
    const both = make(about);
    control = both.control;
    return both.holder;
  });
  let given: unknown;
  let start = '';
  const field: Field = {
    name: spec.name ?? '', spec, element: made.row, within: () => around.within(),
    value() {
      if (control.value !== start) return control.value;
      return given ?? (KEEPS_EMPTY.includes(spec.type) ? '' : undefined);
    },
    set(value) {
      given = value;
      control.value = shown(spec.type, value);
      start = control.value; // as the browser has it
      if (isSecret(value)) control.placeholder = t('unchanged');
    },
    faults() {
      if (control instanceof HTMLInputElement && control.validity.badInput) return [t(UNFINISHED[spec.type] ?? 'Is not finished')];
      return faults(spec, field.value());
    },
    show: (messages) => made.show(messages, control),
    focus: () => control.focus(),
  };
  field.set(spec['value']);
  control.addEventListener('input', () => around.changed(field, false));
  control.addEventListener('change', () => around.changed(field, true));
  return field;
}

const UNFINISHED: Record<string, string> = {
  number: later('Has to be a number'),
  date: later('The date is not finished'),
  time: later('The time is not finished'),
  'datetime-local': later('Date or time is not finished'),
};

function revealable(control: HTMLInputElement, title: string): HTMLElement {
  const button = h('button', { type: 'button', class: 'kl-btn', 'aria-pressed': 'false', 'aria-label': t('Show %1', title), text: t('Show') });
  button.addEventListener('click', () => {
    const open = control.type === 'password';
    control.type = open ? 'text' : 'password';
    button.setAttribute('aria-pressed', String(open));
  });
  return h('div', { class: 'kl-form-beside' }, control, button);
}

/** Yes or no: `"on"`, or nothing. */
export function boxField(spec: Element, around: Around): Field {
  const title = titleOf(spec);
  const given = wordOf(spec, 'option');
  const option = given === null || given === 'on' ? title : given;
  const single = option === title || wordOf(spec, 'label') === null;
  const box = h('input', { type: 'checkbox' });
  const made = frame(
    spec,
    (about) => {
      box.id = about.id;
      box.setAttribute('aria-describedby', about.describedBy);
      const line = h('label', { class: 'kl-form-box', for: about.id }, box, h('span', { text: option }));
      return single ? line : h('div', {}, h('label', { class: 'kl-form-label', for: about.id }, ...labelOf(spec)), line);
    },
    { bare: true },
  );
  const field: Field = {
    name: spec.name ?? '', spec, element: made.row, within: () => around.within(),
    value: () => (box.checked ? 'on' : undefined),
    set: (value) => (box.checked = value === true || value === 'on' || value === 'true'),
    faults: () => [],
    show: (messages) => made.show(messages, box),
    focus: () => box.focus(),
  };
  field.set(spec['value']);
  box.addEventListener('change', () => around.changed(field, true));
  return field;
}

/** One of several choices, by its name. */
export function selectField(spec: Element, around: Around): Field {
  const options = optionsOf(spec);
  const first = typeof spec['value'] === 'string' ? spec['value'] : (options.find((option) => option.chosen)?.name ?? null);
  const control = h('select', { class: 'kl-form-control', required: spec['required'] === true });
  if (spec['required'] !== true || first === null) control.append(h('option', { value: '', text: spec['required'] === true ? t('Choose…') : '–' }));
  for (const option of options) control.append(h('option', { value: option.name, text: option.label }));
  const made = frame(spec, (about) => {
    control.id = about.id;
    control.setAttribute('aria-describedby', about.describedBy);
    return control;
  });
  let given: string | null = null;
  const field: Field = {
    name: spec.name ?? '', spec, element: made.row, within: () => around.within(),
    value: () => (control.value === '' && given === null ? undefined : control.value),
    set(value) {
      given = typeof value === 'string' && options.some((option) => option.name === value) ? value : null;
      control.value = given ?? '';
    },
    faults: () => faults(spec, control.value),
    show: (messages) => made.show(messages, control),
    focus: () => control.focus(),
  };
  field.set(first);
  control.addEventListener('change', () => around.changed(field, true));
  return field;
}
