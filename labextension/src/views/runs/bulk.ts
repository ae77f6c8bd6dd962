// What is done to several runs at once: cancel, compare.

import type { Source } from '../../sources/source.ts';
import { type Status, TERMINAL } from '../../wire.ts';
import { h, setText } from '../dom.ts';
import { plural } from '../format.ts';
import type { Host } from '../host.ts';
import type { Selection } from './selection.ts';
import { t } from '../words.ts';

const AT_ONCE = 4;
/** As many as the gateway compares. */
const COMPARED = 12;

export interface BulkOptions {
  compare?(ids: string[]): void;
  /** Show the comparison of runs, and the code that makes it. */
  comparison?(ids: string[]): void;
  /** How a run stood when it was last seen. */
  statusOf(id: string): Status | undefined;
  /** Something was done. */
  done(): void;
}

export class Bulk {
  readonly element = h('div', { class: 'kl-row kl-runs-bulk', role: 'toolbar', 'aria-label': t('Selected runs') });
  private readonly told = h('span', {});
  private readonly outcome = h('span', { class: 'kl-muted', role: 'status' });
  private readonly cancel = h('button', { type: 'button', class: 'kl-btn', text: t('Cancel runs') });
  private readonly compare = h('button', { type: 'button', class: 'kl-btn', text: t('Compare') });
  private readonly clear = h('button', { type: 'button', class: 'kl-link', text: t('Deselect all') });
  private readonly question = h('span', {});
  private readonly yes = h('button', { type: 'button', class: 'kl-btn kl-danger', text: t('Yes, cancel') });
  private readonly no = h('button', { type: 'button', class: 'kl-btn', text: t('No') });
  private asking = false;
  private busy = false;

  constructor(
    private readonly source: Source,
    private readonly selection: Selection,
    private readonly options: BulkOptions,
    private readonly host: Host,
    private readonly signal: AbortSignal,
  ) {
    this.element.append(this.told, this.cancel, this.compare, this.question, this.yes, this.no, this.clear, this.outcome);
    this.cancel.addEventListener('click', () => this.ask(true));
    this.no.addEventListener('click', () => this.ask(false));
    this.yes.addEventListener('click', () => void this.cancelAll());
    this.compare.addEventListener('click', () => this.compareAll());
    this.clear.addEventListener('click', () => selection.clear());
    this.element.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && this.asking) this.ask(false);
    });
    selection.ids.watch(() => {
      this.asking = false;
      if (!this.busy && selection.ids.get().length > 0) setText(this.outcome, '');
      this.draw();
    }, signal);
  }

  draw(): void {
    const ids = this.selection.ids.get();
    const open = this.open();
    setText(this.told, ids.length > 0 ? t('%1 selected', ids.length) : '');
    this.cancel.hidden = ids.length === 0 || this.asking;
    this.cancel.disabled = open.length === 0 || this.busy;
    this.cancel.title = open.length === 0 ? t('They have all ended') : '';
    this.compare.hidden = ids.length < 2 || !(this.options.compare || this.options.comparison) || this.asking;
    this.compare.disabled = ids.length > COMPARED;
    this.compare.title = ids.length > COMPARED ? t('At most %1 runs are compared at once', COMPARED) : '';
    this.clear.hidden = ids.length === 0 || this.asking;
    for (const element of [this.question, this.yes, this.no]) element.hidden = !this.asking;
    setText(this.question, t('Cancel %1?', plural(open.length, 'run')));
    this.element.classList.toggle('kl-idle', ids.length === 0 && this.outcome.textContent === '');
  }

  focus(): void {
    this.compare.focus();
  }

  private open(): string[] {
    return this.selection.ids.get().filter((id) => {
      const status = this.options.statusOf(id);
      return status === undefined || !TERMINAL.includes(status);
    });
  }

  private ask(asking: boolean): void {
    this.asking = asking;
    this.draw();
    (asking ? this.yes : this.cancel).focus();
  }

  private compareAll(): void {
    const ids = this.selection.ids.get();
    this.options.compare?.(ids);
    this.options.comparison?.(ids);
  }

  private async cancelAll(): Promise<void> {
    const ids = this.open();
    this.asking = false;
    this.busy = true;
    setText(this.outcome, t('Cancelling %1…', plural(ids.length, 'run')));
    this.draw();
    const failed: string[] = [];
    let cancelled = 0;
    const waiting = [...ids];
    const worker = async (): Promise<void> => {
      for (let id = waiting.shift(); id !== undefined && !this.signal.aborted; id = waiting.shift()) {
        try {
          const told = (await this.source.json('POST', `/runs/${id}/cancel`, {})) as { cancelled: boolean };
          if (told.cancelled) cancelled++;
        } catch (error) {
          failed.push(error instanceof Error ? error.message : String(error));
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    this.busy = false;
    const over = ids.length - cancelled - failed.length;
    const parts = [`${cancelled} cancelled`];
    if (over > 0) parts.push(t('%1 had ended already', over));
    if (failed.length > 0) parts.push(`${failed.length} not: ${[...new Set(failed)].slice(0, 2).join('; ')}`);
    setText(this.outcome, parts.join(', '));
    if (failed.length > 0) this.host.notify?.(parts.join(', '), 'warning');
    this.draw();
    this.options.done();
  }
}
