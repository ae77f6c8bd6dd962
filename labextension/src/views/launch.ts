// The form of a flow, launched from where it stands.

import { Refusal, type Source, pause } from '../sources/source.ts';
import { Unreachable, aborted } from '../sources/transport.ts';
import type { RunRow } from '../wire.ts';
import { fill, h, setText } from './dom.ts';
import { FORM_CSS, type FormHandle, mountForm } from './form.ts';
import type { Host } from './host.ts';
import { t } from './words.ts';

export const LAUNCH_CSS = `${FORM_CSS}
.kl .kl-launch { display: flex; flex-direction: column; gap: 10px; }
.kl .kl-launch-told:empty { display: none; }
.kl .kl-launch-told { margin: 0; overflow-wrap: anywhere; }
`;

export interface LaunchOptions {
  /** What is entered already. */
  values?: Record<string, unknown>;
  changed?(values: Record<string, unknown>): void;
  launched?(runId: string): void;
  host?: Host;
}

export interface LaunchHandle {
  values(): Record<string, unknown>;
  set(values: Record<string, unknown>): void;
}

/** The form comes when the gateway gives it; what is set before that is kept. */
export function mountLaunch(parent: HTMLElement, source: Source, flow: string, signal: AbortSignal, options: LaunchOptions = {}): LaunchHandle {
  const place = h('div', {});
  const told = h('p', { class: 'kl-launch-told', role: 'status' });
  const element = h('section', { class: 'kl-launch', 'aria-label': t('Launch %1', flow) }, place, told);
  parent.append(element);
  signal.addEventListener('abort', () => element.remove(), { once: true });
  let given = options.values ?? {};
  let form: FormHandle | null = null;
  let attempt = { said: '', key: '' };

  async function launch(values: Record<string, unknown>): Promise<void> {
    setText(told, '');
    // the same values sent again after a lost answer are the same launch
    const said = JSON.stringify(values);
    if (attempt.said !== said) attempt = { said, key: randomKey() };
    const run = await source.launch(flow, values, attempt.key);
    attempt = { said: '', key: '' };
    const show = options.host?.openRun && h('button', { type: 'button', class: 'kl-link', text: t('Show it'), onclick: () => options.host?.openRun?.(run.run_id) });
    const elsewhere = (run as RunRow & { detail?: string }).detail;
    fill(told, elsewhere ?? t('Launched: run %1 ', run.run_id), show);
    options.launched?.(run.run_id);
  }

  function draw(elements: Parameters<typeof mountForm>[1]['elements']): void {
    place.replaceChildren();
    if (elements.length === 0) fill(place, h('p', { class: 'kl-muted', text: t('This flow takes no inputs.') }));
    form = mountForm(place, {
      elements, source, signal,
      submit: { label: t('Launch'), run: launch },
      validate: (values, superseded) => source.validate(flow, values, superseded),
      onChange: (values) => {
        given = values;
        options.changed?.(values);
      },
    });
    if (Object.keys(given).length > 0) form.set(given);
    else options.changed?.(form.values());
  }

  async function load(): Promise<void> {
    fill(place, h('p', { class: 'kl-muted', text: t('Loading the form…') }));
    for (let tries = 0; !signal.aborted; tries++) {
      try {
        draw(await source.form(flow, signal));
        return;
      } catch (error) {
        if (aborted(error)) return;
        if (error instanceof Refusal) {
          const again = h('button', { type: 'button', class: 'kl-btn', text: t('Try again'), onclick: () => void load() });
          fill(place, h('p', { class: 'kl-problem', text: error.message }), again);
          return;
        }
        if (!(error instanceof Unreachable)) throw error;
        fill(place, h('p', { class: 'kl-muted', text: t('Reconnecting…') }));
        await pause(Math.min(8000, 500 * 2 ** tries), signal);
      }
    }
  }
  void load();

  return {
    values: () => form?.values() ?? given,
    set(values) {
      if (JSON.stringify(values) === JSON.stringify(form?.values() ?? given)) return; // an echo
      given = values;
      form?.set(values);
    },
  };
}

function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
