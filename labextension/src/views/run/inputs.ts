// What a run was given, and the facts of its launch.

import { fill, h, setText } from '../dom.ts';
import { absolute, bytes, count } from '../format.ts';
import { copy } from '../host.ts';
import { showValue } from '../output.ts';
import type { Draw, RunContext } from './context.ts';
import { t } from '../words.ts';

export function inputs(panel: HTMLElement, context: RunContext): Draw {
  const given = h('dl', { class: 'kl-facts' });
  const facts = h('dl', { class: 'kl-facts' });
  const button = h('button', { type: 'button', class: 'kl-link', text: t('Copy as Python') });
  button.addEventListener('click', () => {
    const { row } = context.store.state;
    if (row) void copy(launchCode(row.entrypoint, row.flow, row.inputs)).then((done) => brief(button, done ? t('Copied') : t('Cannot copy')));
  });
  panel.append(
    h('div', { class: 'kl-inputs' }, given, h('p', {}, button), h('details', {}, h('summary', { text: t('About this run') }), facts)),
  );
  let drawn: unknown = null;
  let told = '';
  return () => {
    const { row, attempts } = context.store.state;
    if (!row) return;
    const key = JSON.stringify(row.inputs);
    if (key !== drawn) {
      drawn = key;
      fill(given, ...Object.entries(row.inputs).flatMap(([name, value]) => pair(name, value, context)));
      if (Object.keys(row.inputs).length === 0) fill(given, h('dd', { class: 'kl-muted', text: t('This run was given no inputs.') }));
    }
    const list = about(context);
    const now = JSON.stringify([list, attempts.length]);
    if (now === told) return;
    told = now;
    fill(facts, ...list.flatMap(([name, value]) => [h('dt', { text: name }), h('dd', {}, value)]));
  };
}

function pair(name: string, value: unknown, { source, runId, signal }: RunContext): HTMLElement[] {
  const shown = h('dd');
  if (isSecret(value)) shown.append(h('span', { class: 'kl-muted', text: t('•••••• (secret)') }));
  else showValue(shown, value, { source, runId, signal, name });
  return [h('dt', { text: name }), shown];
}

export function isSecret(value: unknown): boolean {
  return typeof value === 'object' && value !== null && JSON.stringify(value) === '{"secret":true}';
}

function about({ store, runId }: RunContext): [string, string][] {
  const { row, attempts } = store.state;
  if (!row) return [];
  const time = (text: string | null): string => (text === null ? '' : absolute(Date.parse(text)));
  const all: [string, string][] = [
    ['run', runId], ['flow', row.flow], ['entrypoint', row.entrypoint], ['version', row.version], ['author', row.author],
    ['about', row.summary], ['tags', row.tags.join(', ')], ['user', row.user], ['parent', row.parent ?? ''], ['launched', time(row.started)],
    [t('running since'), time(row.running)], ['ended', time(row.ended)], [t('running for'), row.active_s > 0 ? `${row.active_s.toFixed(1)} s` : ''],
    ...attempts.filter(({ reason }) => reason !== '').map(({ number, reason }): [string, string] => [`attempt ${number}`, reason]),
    ['events', `${count(row.events)}, ${bytes(row.nbytes)}`],
    ...Object.entries(row.meta).filter(([name]) => ['cwd', 'options', 'code', 'launched_by'].includes(name))
      .map(([name, value]): [string, string] => [name, typeof value === 'string' ? value : JSON.stringify(value)]),
  ];
  return all.filter(([, value]) => value !== '' && value !== '{}' && value !== 'null');
}

function brief(button: HTMLElement, text: string): void {
  const before = button.textContent;
  setText(button, text);
  setTimeout(() => setText(button, before), 1500);
}

/** A JSON value as Python writes it. */
export function literal(value: unknown): string {
  if (value === null) return 'None';
  if (value === true) return 'True';
  if (value === false) return 'False';
  if (typeof value === 'string') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(literal).join(', ')}]`;
  if (typeof value === 'object') return `{${Object.entries(value).map(([key, one]) => `${JSON.stringify(key)}: ${literal(one)}`).join(', ')}}`;
  return JSON.stringify(value);
}

/** Python that launches the same: imports the flow where that is known, and gives what was given. */
export function launchCode(entrypoint: string, flow: string, given: Record<string, unknown>): string {
  const [module, name] = entrypoint.split(':');
  const named = Object.entries(given).map(([key, value]) => `${key}=${isSecret(value) ? '...' : literal(value)}`);
  if (module && name && /^[\w.]+$/.test(module) && /^\w+$/.test(name)) return `from ${module} import ${name}\n\nrun = ${name}.launch(${named.join(', ')})`;
  return `import kodosumi_lab as kl\n\nrun = kl.find(${JSON.stringify(flow)}).launch(${named.join(', ')})`;
}

export const INPUTS_CSS = `
.kl .kl-inputs { padding: 6px 0; }
.kl .kl-facts { display: grid; grid-template-columns: minmax(90px, auto) minmax(0, 1fr); gap: 4px 16px; margin: 4px 0 10px; }
.kl .kl-facts dt { color: var(--kl-fg2); overflow-wrap: anywhere; }
.kl .kl-facts dd { margin: 0; min-width: 0; overflow-wrap: anywhere; white-space: pre-wrap; }
.kl .kl-inputs p { margin: 6px 0; }
.kl .kl-facts .kl-text { font-family: inherit; font-size: inherit; }
.kl .kl-inputs summary { cursor: pointer; color: var(--kl-fg2); }
`;
