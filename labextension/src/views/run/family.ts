// Runs that a run has started.

import { aborted } from '../../sources/transport.ts';
import type { RunRow } from '../../wire.ts';
import { fill, h } from '../dom.ts';
import { count, duration, relative } from '../format.ts';
import type { RunContext } from './context.ts';
import { t } from '../words.ts';

/** Rows that are asked for; a list of runs has the others. */
const SHOWN = 20;

export class Family {
  readonly element = h('section', { class: 'kl-family', 'aria-label': t('Child runs'), hidden: true });

  constructor(
    private readonly context: RunContext,
    private readonly openRun: (runId: string) => void,
  ) {}

  toggle(): void {
    this.element.hidden = !this.element.hidden;
    if (!this.element.hidden) void this.load();
  }

  private async load(): Promise<void> {
    const { source, runId, signal } = this.context;
    if (this.element.childElementCount === 0) fill(this.element, h('span', { class: 'kl-muted', text: t('Loading …') }));
    try {
      const page = await source.runs({ parent: runId, limit: SHOWN, sort: 'started' }, signal);
      const more = page.total - page.items.length;
      fill(this.element, h('ul', {}, ...page.items.map((row) => this.row(row))), more > 0 ? h('span', { class: 'kl-muted', text: t('and %1 more', count(more)) }) : null);
    } catch (error) {
      if (!aborted(error)) fill(this.element, h('div', { class: 'kl-problem', role: 'alert', text: error instanceof Error ? error.message : String(error) }));
    }
  }

  private row(row: RunRow): HTMLElement {
    const from = Date.parse(row.running ?? row.started);
    const took = row.ended === null ? '' : duration((Date.parse(row.ended) - from) / 1000);
    return h(
      'li', {},
      h('span', { class: 'kl-status', 'data-status': row.status, text: t(row.status) }),
      h('button', { type: 'button', class: 'kl-link', text: row.flow, onclick: () => this.openRun(row.run_id) }),
      h('span', { class: 'kl-mono kl-muted', text: row.run_id.slice(-8) }),
      h('span', { class: 'kl-muted', text: [took, relative(Date.parse(row.started))].filter(Boolean).join(' · ') }),
    );
  }
}

export const FAMILY_CSS = `
.kl .kl-family { border: 1px solid var(--kl-border); border-radius: 4px; padding: 4px 12px; max-height: 200px; overflow: auto; }
.kl .kl-family ul { list-style: none; margin: 0; padding: 0; }
.kl .kl-family li { display: flex; flex-wrap: wrap; gap: 2px 12px; align-items: baseline; padding: 3px 0; }
`;
