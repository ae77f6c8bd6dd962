// Starting a run again: its form, filled with what it was given, and what has been changed since.

import type { Element } from '../../sources/source.ts';
import { aborted } from '../../sources/transport.ts';
import { fill, h, setText } from '../dom.ts';
import { type FormHandle, mountForm } from '../form.ts';
import type { Acting } from './head.ts';
import type { RunContext } from './context.ts';
import { t } from '../words.ts';

export interface RerunOptions {
  /** Another run has begun. */
  begun(runId: string): void;
  closed(): void;
}

export class Rerun {
  readonly element = h('section', { class: 'kl-rerun', 'aria-label': t('Rerun'), hidden: true });
  private open: AbortController | null = null;

  constructor(
    private readonly context: RunContext,
    private readonly acting: Acting,
    private readonly options: RerunOptions,
  ) {
    this.element.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || event.defaultPrevented) return;
      event.stopPropagation();
      this.close();
    });
  }

  toggle(): void {
    if (this.open) this.close();
    else void this.show();
  }

  private close(): void {
    this.open?.abort();
    this.open = null;
    this.element.hidden = true;
    fill(this.element);
    this.options.closed();
  }

  private async show(): Promise<void> {
    const { source, runId, store } = this.context;
    const controller = new AbortController();
    this.open = controller;
    const signal = AbortSignal.any([this.context.signal, controller.signal]);
    const place = h('div', { class: 'kl-muted', text: t('Loading …') });
    const close = h('button', { type: 'button', class: 'kl-link', text: t('Close'), onclick: () => this.close() });
    fill(this.element, h('div', { class: 'kl-row' }, h('strong', { class: 'kl-grow', text: t('Rerun %1', store.state.row?.flow ?? '') }), close), place);
    this.element.hidden = false;
    try {
      const elements = await source.rerunForm(runId, signal);
      fill(place);
      place.className = '';
      this.form(place, elements, signal);
    } catch (error) {
      if (aborted(error) || signal.aborted) return;
      this.without(place, error);
    }
  }

  private form(place: HTMLElement, elements: Element[], signal: AbortSignal): void {
    const { source, runId } = this.context;
    const told = h('p', { class: 'kl-muted kl-rerun-told', role: 'status' });
    let before: Record<string, unknown> | null = null;
    const compare = (values: Record<string, unknown>): void => {
      if (!before) return;
      const changed = differences(before, values);
      setText(told, changed.length === 0 ? t('The same inputs as before.') : t('Changed: %1', changed.map(({ name, from, to }) => `${name} (${from} → ${to})`).join(', ')));
      mark(place, new Set(changed.map(({ name }) => name)));
    };
    place.append(told);
    const form: FormHandle = mountForm(place, {
      elements, source, signal, onChange: compare,
      submit: { label: t('Rerun'), run: async (values) => this.started(await source.rerun(runId, values), place) },
    });
    before = form.values();
    compare(before);
    form.focus();
  }

  /** The form cannot be had, such as of a flow that is gone; the same once more may work all the same. */
  private without(place: HTMLElement, error: unknown): void {
    const { source, runId } = this.context;
    const text = this.acting.take(error);
    const wrong = h('span', { role: 'alert' });
    const again = h('button', { type: 'button', class: 'kl-btn', text: t('Rerun with the same inputs') });
    again.addEventListener('click', () => {
      again.disabled = true;
      source.rerun(runId).then((row) => this.started(row, place), (failure: unknown) => {
        again.disabled = false;
        setText(wrong, this.acting.take(failure));
      });
    });
    place.className = '';
    fill(place, h('p', { class: 'kl-problem', role: 'alert', text: t('There is no form to change the inputs: %1', text) }), h('div', { class: 'kl-row' }, again, wrong));
  }

  private started(row: { run_id: string; status?: string; detail?: string }, place: HTMLElement): void {
    if (this.context.signal.aborted) return;
    if (row.status === undefined) {
      // a service elsewhere, with a log of its own
      fill(place, h('p', { role: 'status', text: row.detail ?? t('Started elsewhere as %1.', row.run_id) }));
      return;
    }
    this.close();
    this.options.begun(row.run_id);
  }
}

export interface Difference {
  name: string;
  from: string;
  to: string;
}

/** Fields whose values are not what they were; what is missing is an empty field or a box without a tick. */
export function differences(before: Record<string, unknown>, after: Record<string, unknown>): Difference[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return names
    .filter((name) => JSON.stringify(before[name] ?? '') !== JSON.stringify(after[name] ?? ''))
    .map((name) => ({ name, from: brief(before[name]), to: brief(after[name]) }));
}

function brief(value: unknown): string {
  if (value === undefined || value === null || value === '') return 'empty';
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  if (text === '{"secret":true}') return '••••';
  return text.length > 40 ? `${text.slice(0, 39)}…` : text;
}

function mark(place: HTMLElement, changed: Set<string>): void {
  for (const field of place.querySelectorAll<HTMLElement>('.kl-form-field[data-name]')) {
    field.classList.toggle('kl-changed', changed.has(field.dataset['name'] ?? ''));
  }
}

export const RERUN_CSS = `
.kl .kl-rerun { border: 1px solid var(--kl-border); border-inline-start: 3px solid var(--kl-accent); border-radius: 4px; padding: 8px 12px; max-height: min(70vh, 560px); overflow: auto; }
.kl .kl-rerun-told { margin: 2px 0 8px; min-height: 1.45em; overflow-wrap: anywhere; }
.kl .kl-changed { border-inline-start: 3px solid var(--kl-accent); padding-inline-start: 8px; margin-inline-start: -11px; }
`;
