// Several values of one sort: a row each, or one a line.

import type { Element } from '../../sources/source.ts';
import { h } from '../dom.ts';
import { faults, isSecret, itemOf } from './check.ts';
import { type Around, type Field, frame, labelOf, titleOf } from './field.ts';
import { inputOf, shown } from './inputs.ts';
import { t } from '../words.ts';

/** From this many on rows are slower to draw than to read, so it opens as lines. */
const LINES = 100;

export function listField(spec: Element, around: Around): Field {
  const view = new ListView(spec, () => around.changed(field, false));
  const made = frame(
    spec,
    (about) => {
      view.describedBy = about.describedBy;
      return h(
        'div', {},
        h('div', { class: 'kl-form-choices-head' }, h('span', { class: 'kl-form-label', id: about.labelId }, ...labelOf(spec)), view.swap),
        view.element,
      );
    },
    { group: true, bare: true },
  );
  let given: unknown;
  let start = '[]';
  const field: Field = {
    name: spec.name ?? '', spec, element: made.row, within: () => around.within(),
    value() {
      const items = view.items();
      return JSON.stringify(items) === start ? (given ?? undefined) : items;
    },
    set(value) {
      given = value;
      view.fill(Array.isArray(value) ? (value as unknown[]) : typeof value === 'string' && value !== '' ? value.split('\n') : []);
      start = JSON.stringify(view.items());
    },
    faults: () => (JSON.stringify(view.items()) === start && isBlankSecret(given) ? [] : faults(spec, view.items())),
    show(messages) {
      made.show(messages);
      view.mark(messages);
    },
    focus: () => view.focus(),
  };
  field.set(spec['value']);
  return field;
}

/** Secrets that were entered before are sent back as they stand. */
function isBlankSecret(value: unknown): boolean {
  return isSecret(value) || (Array.isArray(value) && value.length > 0 && value.every(isSecret));
}

class ListView {
  readonly element = h('div', { class: 'kl-form-list' });
  readonly swap = h('button', { type: 'button', class: 'kl-link', text: t('One a line') });
  describedBy = '';
  private readonly item: Element;
  private readonly title: string;
  private readonly rows = h('div', { class: 'kl-form-list-rows' });
  private readonly area: HTMLTextAreaElement;
  private readonly add: HTMLButtonElement;

  constructor(spec: Element, private readonly changed: () => void) {
    this.item = itemOf(spec);
    this.title = titleOf(spec);
    this.area = h('textarea', { class: 'kl-form-control', rows: 5, 'aria-label': t('%1, one a line', this.title), spellcheck: 'false', hidden: true });
    this.add = h('button', { type: 'button', class: 'kl-btn', text: t('Add'), 'aria-label': t('Add to %1', this.title) });
    this.swap.hidden = this.item.type === 'password';
    this.element.append(this.rows, this.area, this.add);
    this.add.addEventListener('click', () => this.insert('').focus());
    this.area.addEventListener('input', this.changed);
    this.swap.addEventListener('click', () => {
      const items = this.items();
      this.asLines(!!this.area.hidden);
      this.draw(items);
      this.focus();
    });
  }

  /** What is filled in; empty rows and lines are nothing. */
  items(): string[] {
    const found = this.area.hidden ? this.inputs().map((input) => input.value) : this.area.value.split('\n');
    return found.filter((text) => text.trim() !== '');
  }

  fill(values: unknown[]): void {
    const texts = values.map((value) => shown(this.item.type, value));
    const lines = texts.length >= LINES && this.item.type !== 'password';
    this.asLines(lines);
    this.draw(texts.filter((text) => text !== ''));
    if (values.some(isSecret)) this.add.before(h('p', { class: 'kl-muted', text: t('%1 entered before, unchanged', values.length) }));
  }

  focus(): void {
    if (!this.area.hidden) this.area.focus();
    else (this.inputs().find((input) => input.getAttribute('aria-invalid') === 'true') ?? this.inputs()[0] ?? this.add).focus();
  }

  /** Say which rows the messages mean. */
  mark(messages: readonly string[]): void {
    const wrong = new Set(messages.flatMap((text) => [...text.matchAll(/\b(?:item|at) (\d+)/gi)].map((found) => Number(found[1]))));
    let filled = 0;
    for (const input of this.inputs()) {
      if (input.value.trim() !== '') filled++;
      if (input.value.trim() !== '' && wrong.has(filled)) input.setAttribute('aria-invalid', 'true');
      else input.removeAttribute('aria-invalid');
    }
    if (messages.length > 0) this.area.setAttribute('aria-invalid', 'true');
    else this.area.removeAttribute('aria-invalid');
  }

  private inputs(): HTMLInputElement[] {
    return [...this.rows.querySelectorAll('input')];
  }

  private asLines(lines: boolean): void {
    this.area.hidden = !lines;
    this.rows.hidden = this.add.hidden = lines;
    this.swap.textContent = lines ? t('One a row') : t('One a line');
  }

  private draw(texts: string[]): void {
    this.rows.replaceChildren();
    this.element.querySelector('p')?.remove();
    this.area.value = texts.join('\n');
    this.area.rows = Math.min(15, Math.max(5, texts.length + 1));
    if (this.area.hidden) for (const text of texts) this.insert(text);
  }

  private insert(text: string, after?: Node): HTMLInputElement {
    const input = inputOf(this.item, { 'aria-describedby': this.describedBy });
    input.value = text;
    const remove = h('button', { type: 'button', class: 'kl-btn', text: '×' });
    const row = h('div', { class: 'kl-form-beside' }, input, remove);
    if (after) (after as ChildNode).after(row);
    else this.rows.append(row);
    this.number();
    input.addEventListener('input', this.changed);
    input.addEventListener('paste', (event) => this.paste(event, input, row));
    input.addEventListener('keydown', (event) => this.key(event, input, row));
    remove.addEventListener('click', () => this.take(row));
    return input;
  }

  private take(row: HTMLElement): void {
    const next = (row.nextElementSibling ?? row.previousElementSibling)?.querySelector('input') ?? this.add;
    row.remove();
    this.number();
    next.focus();
    this.changed();
  }

  private number(): void {
    this.inputs().forEach((input, at) => {
      input.setAttribute('aria-label', `${this.title} ${at + 1}`);
      input.nextElementSibling?.setAttribute('aria-label', t('Remove %1 %2', this.title, at + 1));
    });
  }

  /** Several lines are several values. */
  private paste(event: ClipboardEvent, input: HTMLInputElement, row: HTMLElement): void {
    const lines = (event.clipboardData?.getData('text') ?? '').split(/\r?\n/).filter((line) => line.trim() !== '');
    if (lines.length < 2) return;
    event.preventDefault();
    const texts = [...(input.value.trim() === '' ? [] : [input.value]), ...lines];
    input.value = texts[0]!;
    let last: HTMLElement = row;
    for (const text of texts.slice(1)) last = this.insert(text, last).parentElement!;
    last.querySelector('input')!.focus();
    this.changed();
  }

  private key(event: KeyboardEvent, input: HTMLInputElement, row: HTMLElement): void {
    if (event.isComposing) return;
    if (event.key === 'Enter' && !event.ctrlKey && !event.metaKey) {
      event.preventDefault(); // it would send the form
      if (input.value.trim() !== '') this.insert('', row).focus();
    } else if (event.key === 'Backspace' && input.value === '' && !(input.validity.badInput) && this.inputs().length > 1) {
      event.preventDefault();
      const before = row.previousElementSibling?.querySelector('input');
      this.take(row);
      before?.focus();
    }
  }
}
