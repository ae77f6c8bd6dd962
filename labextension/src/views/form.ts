// A form of elements as docs/forms.md lists them: drawn, checked while it is filled in, sent once.

import { type Element, Refusal, type Source } from '../sources/source.ts';
import { Unreachable, aborted } from '../sources/transport.ts';
import { h, setText } from './dom.ts';
import { type Built, build, errorsOf } from './form/build.ts';
import { isBlank } from './form/check.ts';
import { FIELDS_CSS } from './form/css.ts';
import type { Field } from './form/field.ts';
import { Messages } from './form/messages.ts';
import { PROSE_CSS } from './prose.ts';
import { t } from './words.ts';

export const FORM_CSS = PROSE_CSS + FIELDS_CSS;

export interface FormOptions {
  elements: Element[];
  /** Where files go; without it, none can be given. */
  source?: Source;
  signal: AbortSignal;
  /** A {@link Refusal} of `run` is shown under the fields; without `submit` there are no buttons. */
  submit?: { label?: string; run(values: Record<string, unknown>): Promise<void> };
  /** Asked while the form is filled in; throws a {@link Refusal} with messages by field. */
  validate?(values: Record<string, unknown>, signal: AbortSignal): Promise<void>;
  /** What the cancel button does beyond undoing what was entered. */
  cancel?(): void;
  disabled?: boolean;
  onChange?(values: Record<string, unknown>): void;
}

export interface FormHandle {
  /** As they are sent, see docs/forms.md. */
  values(): Record<string, unknown>;
  setErrors(errors: Record<string, string[]>): void;
  /** As it was opened. */
  reset(): void;
  /** As it was opened, but for these values. */
  set(values: Record<string, unknown>): void;
  focus(): void;
  /** No more entering, and why; null lets it go on. */
  setDisabled(reason: string | null): void;
  /** Something was changed since it was opened. */
  dirty(): boolean;
  /** The uploads that were sent are with a run: they are made anew if they are sent again. */
  taken(): void;
}

export function mountForm(parent: HTMLElement, options: FormOptions): FormHandle {
  return new Form(parent, options);
}

class Form implements FormHandle {
  // what is pressed here is for the form, not a host's shortcut
  private readonly form = h('form', { class: 'kl-form', novalidate: true, autocomplete: 'off', 'data-lm-suppress-shortcuts': 'true' });
  private readonly body = h('fieldset', { class: 'kl-form-body' });
  private readonly note = h('p', { class: 'kl-form-note', role: 'status', hidden: true });
  private readonly told = h('span', { class: 'kl-muted', role: 'status' });
  private readonly stop = h('button', { type: 'button', class: 'kl-btn', text: t('Stop'), hidden: true });
  private readonly undo = h('button', { type: 'button', class: 'kl-btn', text: t('Reset') });
  private readonly built: Built;
  private readonly messages: Messages;
  private start = '';
  private busy = false;
  private waiting = false;
  private reason: string | null = null;

  constructor(parent: HTMLElement, private readonly options: FormOptions) {
    const { signal } = options;
    this.form.append(this.note, this.body);
    this.built = build(options.elements, this.body, {
      source: options.source, signal, buttons: options.submit !== undefined,
      changed: (field, done) => this.changed(field, done),
      submit: (more) => void this.submit(more),
      cancel: () => {
        this.reset();
        options.cancel?.();
      },
    });
    const errors = this.built.errors ?? this.body.appendChild(errorsOf());
    const globally = (texts: string[]): void => {
      setText(errors, texts.join('\n'));
      errors.hidden = texts.length === 0;
    };
    this.messages = new Messages(this.built.fields, () => this.values(), options.validate?.bind(options), globally, signal);
    if (options.submit) this.bar(options.submit.label ?? t('Submit'));
    this.start = JSON.stringify(this.values());
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.submit({});
    });
    if (options.disabled) this.setDisabled('');
    this.mark();
    parent.append(this.form);
    signal.addEventListener('abort', () => this.form.remove(), { once: true });
  }

  values(): Record<string, unknown> {
    const found: Record<string, unknown> = {};
    for (const field of this.built.fields) {
      const value = field.within() ? field.value() : undefined;
      if (value !== undefined) found[field.name] = value;
    }
    return found;
  }

  setErrors(errors: Record<string, string[]>): void {
    this.messages.told(errors)?.focus();
  }

  reset(): void {
    this.set({}, true);
  }

  set(values: Record<string, unknown>, whole = false): void {
    for (const field of this.built.fields) {
      if (field.name in values) field.set(values[field.name]);
      // of a box and a switch, nothing at all is a value
      else field.set(!whole && ['boolean', 'group'].includes(field.spec.type) ? null : first(field.spec));
    }
    this.messages.forget();
    this.mark();
    this.options.onChange?.(this.values());
  }

  focus(): void {
    this.built.fields.find((field) => field.within())?.focus();
  }

  setDisabled(reason: string | null): void {
    this.reason = reason;
    setText(this.note, reason ?? '');
    this.note.hidden = isBlank(reason);
    this.lock();
  }

  dirty(): boolean {
    return JSON.stringify(this.values()) !== this.start;
  }

  taken(): void {
    for (const field of this.built.fields) field.taken?.();
  }

  /** The buttons that the elements have, or one of our own; and one to undo. */
  private bar(label: string): void {
    let bar = this.built.bars.at(-1);
    if (!bar) this.body.append((bar = h('div', { class: 'kl-row kl-form-bar' })));
    if (this.built.submits === 0) bar.prepend(h('button', { type: 'submit', class: 'kl-btn kl-primary', text: label }));
    this.undo.addEventListener('click', () => {
      this.reset();
      this.focus();
    });
    bar.append(this.undo, this.stop, this.told);
  }

  private changed(field: Field, done: boolean): void {
    this.messages.changed(field, done);
    this.mark();
    this.options.onChange?.(this.values());
  }

  private mark(): void {
    const dirty = this.dirty();
    this.form.toggleAttribute('data-dirty', dirty);
    this.undo.disabled = !dirty;
  }

  private lock(): void {
    this.body.disabled = (this.busy && !this.waiting) || this.reason !== null;
    this.form.setAttribute('aria-busy', String(this.busy));
  }

  /** Nothing but the files can be changed. */
  private hold(others: HTMLElement[], waiting: boolean): void {
    this.waiting = waiting;
    for (const element of others) element.inert = waiting;
    this.stop.hidden = !waiting;
    this.lock();
  }

  private async submit(more: Record<string, unknown>): Promise<void> {
    if (this.busy || this.reason !== null || !this.options.submit) return;
    const wrong = this.messages.judge();
    if (wrong) {
      wrong.focus();
      return;
    }
    const focused = focusIn(this.form);
    this.busy = true;
    this.lock();
    setText(this.told, t('Sending…'));
    let after: (() => void) | null = () => focused?.focus();
    try {
      await this.files();
      await this.options.submit.run({ ...this.values(), ...more });
      this.taken();
    } catch (error) {
      after = () => this.failed(error);
    }
    if (this.options.signal.aborted) return;
    this.busy = false;
    this.lock();
    setText(this.told, '');
    after();
  }

  /** Wait for uploads, which can be removed meanwhile, or not be waited for; one that failed is told under its field. */
  private async files(): Promise<void> {
    const waiting = this.built.fields.filter((field) => field.within() && field.spec.type === 'file' && field.value() !== undefined);
    if (waiting.length === 0) return;
    setText(this.told, t('Sending files…'));
    const buttons = [...this.form.querySelectorAll<HTMLElement>('.kl-form-bar > button')].filter((button) => button !== this.stop);
    const others = [...this.built.fields.filter((field) => !['file', 'group'].includes(field.spec.type)).map((field) => field.element), ...buttons];
    const stopped = new Promise<boolean>((resolve) => (this.stop.onclick = () => resolve(true)));
    const sent = Promise.all(waiting.map((field) => field.ready?.() ?? Promise.resolve())).then(() => false);
    this.hold(others, true);
    const given = await Promise.race([sent, stopped]);
    this.hold(others, false);
    if (given) throw new DOMException(t('not waited for'), 'AbortError');
    const failed = Object.fromEntries(waiting.map((field) => [field.name, field.faults()] as const).filter(([, faults]) => faults.length > 0));
    if (Object.keys(failed).length > 0) throw new Refusal({ type: 'about:blank', title: t('Files'), status: 422, detail: '', errors: failed });
    setText(this.told, t('Sending…'));
  }

  private failed(error: unknown): void {
    if (aborted(error)) return;
    if (error instanceof Refusal && Object.keys(error.errors).length > 0) {
      this.setErrors(error.errors);
      return;
    }
    const lost = t('Nothing answered, so it is not known whether this arrived. What was entered is still here: try again');
    const text = error instanceof Unreachable ? lost : error instanceof Error ? error.message : String(error);
    this.setErrors({ _global_: [text] });
  }
}

/** The value that an element opens with; marks at options are one, too. */
function first(spec: Element): unknown {
  if (!isBlank(spec['value']) || !Array.isArray(spec['option'])) return spec['value'];
  const marked = (spec['option'] as { name?: unknown; value?: unknown }[]).filter((option) => option.value === true).map((option) => option.name);
  if (marked.length === 0) return spec['value'];
  return spec.type === 'select' ? marked[0] : marked;
}

/** What has the focus within an element, also where that is in a shadow root. */
function focusIn(element: HTMLElement): HTMLElement | null {
  const place = element.getRootNode() as Document | ShadowRoot;
  const focused = place.activeElement;
  return focused instanceof HTMLElement && element.contains(focused) ? focused : null;
}

