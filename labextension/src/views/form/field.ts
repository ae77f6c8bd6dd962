// What a field of a form is, and the frame around each: label, control, help, messages.

import type { Element, Source } from '../../sources/source.ts';
import { h, setText, uniqueId } from '../dom.ts';
import { t } from '../words.ts';

/** One named element that takes part in what is sent. */
export interface Field {
  readonly name: string;
  readonly spec: Element;
  readonly element: HTMLElement;
  /** False in a group that is switched off: neither checked nor sent. */
  within(): boolean;
  /** As it is sent; undefined is nothing at all. */
  value(): unknown;
  /** As {@link value} gave it, or as the element's dict has it. */
  set(value: unknown): void;
  faults(): string[];
  show(messages: readonly string[]): void;
  focus(): void;
  /** Resolves once the value may be sent. */
  ready?(): Promise<void>;
  /** How many files are not there yet; each is sent when {@link ready} is asked for, if not before. */
  pending?(): number;
  /** What was sent is used up (an upload), and has to be made anew to be sent again. */
  taken?(): void;
}

/** What fields are made with. */
export interface Around {
  readonly source: Source | undefined;
  readonly signal: AbortSignal;
  /** Whether the groups around are switched on. */
  within(): boolean;
  /** Somebody entered something; `done` when the control was left or a choice was made. */
  changed(field: Field, done: boolean): void;
  /** Make what stands in a group. */
  build(elements: Element[], parent: HTMLElement, within: () => boolean): void;
}

export interface Frame {
  readonly row: HTMLElement;
  /** Of the control, which the label names. */
  readonly id: string;
  readonly labelId: string;
  /** For `aria-describedby`. */
  readonly describedBy: string;
  /** Put the messages under the control, and say to it whether there are any. */
  show(messages: readonly string[], ...controls: HTMLElement[]): void;
}

interface FrameOptions {
  /** The control is several ones: the label is a heading. */
  group?: boolean;
  /** The control carries its own label. */
  bare?: boolean;
}

/** Label, help and message of an element, around a control that is appended by whoever asks. */
export function frame(spec: Element, control: (made: Frame) => HTMLElement, options: FrameOptions = {}): Frame {
  const id = uniqueId('kl-field');
  const [labelId, helpId, messageId] = [`${id}-label`, `${id}-help`, `${id}-message`];
  const help = typeof spec['help'] === 'string' && spec['help'] !== '' ? spec['help'] : null;
  const message = h('p', { class: 'kl-form-message', id: messageId, 'aria-live': 'polite' });
  const row = h('div', { class: 'kl-form-field', 'data-type': spec.type, 'data-name': spec.name ?? undefined });
  const describedBy = help === null ? messageId : `${helpId} ${messageId}`;
  const made: Frame = {
    row, id, labelId, describedBy,
    show(messages, ...controls) {
      setText(message, messages.join('\n'));
      row.classList.toggle('kl-invalid', messages.length > 0);
      for (const one of controls) {
        if (messages.length > 0) one.setAttribute('aria-invalid', 'true');
        else one.removeAttribute('aria-invalid');
      }
    },
  };
  if (options.group) {
    row.setAttribute('role', 'group');
    row.setAttribute('aria-labelledby', labelId);
    row.setAttribute('aria-describedby', describedBy);
  }
  if (!options.bare) {
    const props = { class: 'kl-form-label', id: labelId };
    row.append(options.group ? h('span', props, ...labelOf(spec)) : h('label', { ...props, for: id }, ...labelOf(spec)));
  }
  row.append(control(made));
  if (help !== null) row.append(h('p', { class: 'kl-form-help', id: helpId, text: help }));
  row.append(message);
  return made;
}

/** The label's text, with a mark where something has to be entered. */
export function labelOf(spec: Element): (Node | string)[] {
  const mark = h('span', { class: 'kl-form-required', 'aria-hidden': 'true', title: t('Required'), text: '*' });
  return spec['required'] === true ? [titleOf(spec), mark] : [titleOf(spec)];
}

export function titleOf(spec: Element): string {
  const label = spec['label'];
  return typeof label === 'string' && label !== '' ? label : (spec.name ?? '');
}

export interface Option {
  name: string;
  label: string;
  chosen: boolean;
}

/** Options of a select; those without a name cannot be sent. */
export function optionsOf(spec: Element): Option[] {
  const given = Array.isArray(spec['option']) ? (spec['option'] as Record<string, unknown>[]) : [];
  return given.flatMap(({ name, label, value }) =>
    typeof name === 'string' ? [{ name, label: typeof label === 'string' && label !== '' ? label : name, chosen: value === true }] : [],
  );
}
