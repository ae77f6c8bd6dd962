// A field for any JSON value, whose syntax is told while it is typed.

import type { Element } from '../../sources/source.ts';
import { h, setText } from '../dom.ts';
import { faults, jsonFault, numberOf, wordOf } from './check.ts';
import { type Around, type Field, frame } from './field.ts';
import { t, tn } from '../words.ts';

export function jsonField(spec: Element, around: Around): Field {
  const control = h('textarea', {
    class: 'kl-form-control kl-mono', spellcheck: 'false', autocapitalize: 'off',
    required: spec['required'] === true, placeholder: wordOf(spec, 'placeholder'),
  });
  const told = h('span', { class: 'kl-form-hint kl-grow' });
  const tidy = h('button', { type: 'button', class: 'kl-link', text: t('Tidy') });
  const made = frame(spec, (about) => {
    control.id = about.id;
    told.id = `${about.id}-hint`;
    control.setAttribute('aria-describedby', `${about.describedBy} ${told.id}`);
    return h('div', {}, control, h('div', { class: 'kl-form-beside kl-form-under' }, told, tidy));
  });
  let given: unknown;
  let start = '';
  // A hint only: some inputs take a text that is no JSON, which the element does not say.
  const hint = (): void => {
    const fault = control.value.trim() === '' ? null : jsonFault(control.value);
    setText(told, fault ?? (control.value.trim() === '' ? '' : kindOf(control.value)));
    told.classList.toggle('kl-warn', fault !== null);
    tidy.hidden = control.value.trim() === '' || fault !== null || pretty(control.value) === control.value;
  };
  const field: Field = {
    name: spec.name ?? '', spec, element: made.row, within: () => around.within(),
    value: () => (control.value === start ? (given ?? undefined) : control.value),
    set(value) {
      given = value;
      control.value = value === null || value === undefined ? '' : typeof value === 'string' ? pretty(value) : JSON.stringify(value, null, 2);
      start = control.value;
      control.rows = Math.min(20, Math.max(numberOf(spec, 'rows') ?? 3, start.split('\n').length + 1));
      hint();
    },
    faults: () => faults(spec, control.value.trim()),
    show: (messages) => made.show(messages, control),
    focus: () => control.focus(),
  };
  field.set(spec['value']);
  control.addEventListener('input', () => {
    hint();
    around.changed(field, false);
  });
  control.addEventListener('change', () => around.changed(field, true));
  tidy.addEventListener('click', () => {
    control.value = pretty(control.value);
    hint();
    around.changed(field, true);
  });
  return field;
}

/** Indented where that is for the eye; numbers that JavaScript would round are left as they are. */
function pretty(text: string): string {
  try {
    const value: unknown = JSON.parse(text);
    const short = JSON.stringify(value);
    if (short.replace(/\s/g, '') !== text.replace(/\s/g, '')) return text;
    return short.length <= 60 ? short : JSON.stringify(value, null, 2);
  } catch {
    return text;
  }
}

function kindOf(text: string): string {
  const value: unknown = JSON.parse(text);
  if (Array.isArray(value)) return t('a list of %1', value.length);
  if (typeof value === 'object' && value !== null) return tn('an object with %1 key', 'an object with %1 keys', Object.keys(value).length);
  return value === null ? 'null' : `a ${typeof value === 'string' ? 'text' : typeof value}`;
}
