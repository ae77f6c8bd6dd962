// Runs held against each other: what differs first, section by section.

import type { Source } from '../sources/source.ts';
import { aborted } from '../sources/transport.ts';
import type { Comparison, Line } from '../wire.ts';
import { fill, h } from './dom.ts';
import type { Host } from './host.ts';
import { shortId } from './runs/row.ts';
import { later, t } from './words.ts';

/** As the server names them; others are shown as they come. */
export const SECTIONS = ['status', 'inputs', 'options', 'durations', 'steps', 'metrics', 'locks', 'results', 'errors'].map(later);

export const COMPARE_CSS = `
.kl .kl-compare { display: flex; flex-direction: column; gap: 6px; min-width: 0; }
.kl .kl-compare summary { cursor: pointer; padding: 3px 0; }
.kl .kl-compare-scroll { overflow-x: auto; }
.kl .kl-compare table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.kl .kl-compare :is(td, th) { text-align: start; padding: 3px 12px 3px 0; vertical-align: top; overflow-wrap: break-word; max-width: 32em; }
.kl .kl-compare thead th { font-weight: 600; color: var(--kl-fg2); border-block-end: 1px solid var(--kl-border); white-space: nowrap; }
.kl .kl-compare tbody th { font-weight: 400; }
.kl .kl-compare td.kl-compare-sign { min-width: 0; width: 1.6em; }
.kl .kl-compare tr[data-same=false] td { font-weight: 650; }
.kl .kl-compare tr[data-same=true] { color: var(--kl-fg2); }
`;

/** Ask for the comparison and draw it; what goes wrong is told in its place. */
export async function mountComparison(parent: HTMLElement, source: Source, runIds: readonly string[], signal: AbortSignal, host: Host = {}): Promise<void> {
  const element = h('section', { class: 'kl-compare', 'aria-label': t('Comparison of runs') }, h('p', { class: 'kl-muted', role: 'status', text: t('Comparing…') }));
  parent.append(element);
  signal.addEventListener('abort', () => element.remove(), { once: true });
  try {
    draw(element, await source.compare(runIds, signal), host);
  } catch (error) {
    if (aborted(error)) return;
    const again = h('button', { type: 'button', class: 'kl-btn', text: t('Try again') });
    again.addEventListener('click', () => {
      element.remove();
      void mountComparison(parent, source, runIds, signal, host);
    });
    fill(element, h('p', { class: 'kl-problem', text: error instanceof Error ? error.message : String(error) }), again);
  }
}

function draw(element: HTMLElement, found: Comparison, host: Host): void {
  fill(element, h('p', { class: 'kl-muted', role: 'status', text: t('%1 of %2 lines differ', found.different, found.lines.length) }));
  for (const section of new Set(found.lines.map((line) => line.section))) {
    const lines = found.lines.filter((line) => line.section === section);
    const differ = lines.filter((line) => !line.same);
    const told = differ.length > 0 ? t('%1 of %2 differ', differ.length, lines.length) : t('%1 the same', lines.length);
    const shown = [...differ, ...lines.filter((line) => line.same)];
    element.append(
      h('details', { open: differ.length > 0 }, h('summary', {}, h('b', { text: t(section) }), `: ${told}`), h('div', { class: 'kl-compare-scroll' }, table(section, shown, found.runs, host))),
    );
  }
}

function table(section: string, lines: readonly Line[], runs: readonly string[], host: Host): HTMLTableElement {
  const body = h('tbody', {});
  for (const { name, values, same } of lines) {
    const sign = h('td', { class: 'kl-compare-sign' }, h('span', { role: 'img', 'aria-label': same ? t('same') : t('differs'), text: same ? '=' : '≠' }));
    body.append(h('tr', { 'data-same': String(same) }, h('th', { scope: 'row', text: name }), sign, ...values.map((value) => h('td', { text: value ?? '—' }))));
  }
  const heads = runs.map((id) => h('th', { scope: 'col' }, opener(id, host)));
  return h('table', { 'aria-label': t('%1 compared', t(section)) }, h('thead', {}, h('tr', {}, h('th', { scope: 'col', text: t(section) }), h('th', { 'aria-label': t('differs') }), ...heads)), body);
}

function opener(id: string, host: Host): HTMLElement {
  if (!host.openRun) return h('code', { class: 'kl-mono', text: shortId(id), title: id });
  return h('button', { type: 'button', class: 'kl-link kl-mono', text: shortId(id), title: id, onclick: () => host.openRun?.(id) });
}
