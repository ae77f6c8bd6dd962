// From elements to what is drawn, in their order.

import type { Element, Source } from '../../sources/source.ts';
import { h } from '../dom.ts';
import { html, markdown } from '../prose.ts';
import { wordOf } from './check.ts';
import { choicesField } from './choices.ts';
import type { Around, Field } from './field.ts';
import { filesField } from './files.ts';
import { groupField } from './group.ts';
import { areaField, boxField, inputField, selectField } from './inputs.ts';
import { jsonField } from './json.ts';
import { listField } from './list.ts';
import { t } from '../words.ts';

const FIELDS: Record<string, (spec: Element, around: Around) => Field> = {
  text: inputField,
  number: inputField,
  password: inputField,
  date: inputField,
  time: inputField,
  'datetime-local': inputField,
  textarea: areaField,
  boolean: boxField,
  select: selectField,
  multiselect: choicesField,
  list: listField,
  json: jsonField,
  file: filesField,
  group: groupField,
};

/** What a form is made of. */
export interface Built {
  readonly fields: Field[];
  /** Where messages of no field go, where the form says so. */
  errors: HTMLElement | null;
  /** Rows with buttons, in order. */
  readonly bars: HTMLElement[];
  submits: number;
}

export interface Doing {
  readonly source: Source | undefined;
  readonly signal: AbortSignal;
  readonly buttons: boolean;
  changed(field: Field, done: boolean): void;
  /** Send the form, with the value of a button where it has one. */
  submit(more: Record<string, unknown>): void;
  cancel(): void;
}

export function build(elements: readonly Element[], parent: HTMLElement, doing: Doing): Built {
  const built: Built = { fields: [], errors: null, bars: [], submits: 0 };
  into(elements, parent, () => true, doing, built);
  return built;
}

function into(elements: readonly Element[], parent: HTMLElement, within: () => boolean, doing: Doing, built: Built): void {
  let bar: HTMLElement | null = null;
  for (const spec of elements) {
    const button = buttonOf(spec, doing);
    if (button) {
      if (!doing.buttons) continue;
      if (!bar) built.bars.push((bar = h('div', { class: 'kl-row kl-form-bar' })));
      if (spec.type === 'submit') built.submits++;
      bar.append(button);
      parent.append(bar);
      continue;
    }
    bar = null;
    const make = FIELDS[spec.type];
    if (make && typeof spec.name === 'string') parent.append(fieldOf(spec, make, within, doing, built));
    else parent.append(shownOf(spec, built));
  }
}

function fieldOf(spec: Element, make: (spec: Element, around: Around) => Field, within: () => boolean, doing: Doing, built: Built): HTMLElement {
  const at = built.fields.length;
  const field = make(spec, {
    source: doing.source, signal: doing.signal, within, changed: (one, done) => doing.changed(one, done),
    build: (inner, parent, on) => into(inner, parent, on, doing, built),
  });
  built.fields.splice(at, 0, field); // before those within it
  return field.element;
}

function buttonOf(spec: Element, doing: Doing): HTMLButtonElement | null {
  if (spec.type === 'submit') return h('button', { type: 'submit', class: 'kl-btn kl-primary', text: wordOf(spec, 'text') ?? t('Submit') });
  if (spec.type === 'cancel') {
    return h('button', { type: 'button', class: 'kl-btn', text: wordOf(spec, 'text') ?? t('Cancel'), onclick: () => doing.cancel() });
  }
  if (spec.type !== 'action') return null;
  const value = wordOf(spec, 'value');
  const send = (): void => doing.submit(typeof spec.name === 'string' ? { [spec.name]: value } : {});
  return h('button', { type: 'button', class: 'kl-btn', text: wordOf(spec, 'text') ?? value ?? spec.name ?? t('Go'), onclick: send });
}

/** What takes no value. */
function shownOf(spec: Element, built: Built): HTMLElement {
  if (spec.type === 'markdown') return markdown(wordOf(spec, 'text') ?? '');
  if (spec.type === 'html') return html(wordOf(spec, 'text') ?? '');
  if (spec.type === 'hr') return h('hr', { class: 'kl-form-hr' });
  if (spec.type === 'break') return h('div', { class: 'kl-form-break' });
  if (spec.type === 'errors') return (built.errors ??= errorsOf());
  const name = spec.name ?? wordOf(spec, 'label');
  return h('p', { class: 'kl-form-note', text: t('%1 (%2) cannot be shown here; it is left as it is', name ?? t('An element'), spec.type) });
}

export function errorsOf(): HTMLElement {
  return h('div', { class: 'kl-problem', role: 'alert', hidden: true });
}
