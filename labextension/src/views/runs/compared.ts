// The comparison of chosen runs, below their list, with the code that makes it.

import type { Source } from '../../sources/source.ts';
import { mountComparison } from '../compare.ts';
import { fill, h, setText } from '../dom.ts';
import { type Host, copy } from '../host.ts';
import { t, tn } from '../words.ts';

export class Compared {
  readonly element = h('div', { class: 'kl-runs-compared', hidden: true });
  private shown = new AbortController();

  /** `closed` is called when a person has closed it. */
  constructor(private readonly source: Source, private readonly host: Host, private readonly signal: AbortSignal, private readonly closed: () => void) {
    signal.addEventListener('abort', () => this.shown.abort(), { once: true });
  }

  show(ids: readonly string[]): void {
    this.close();
    this.shown = new AbortController();
    const close = h('button', { type: 'button', class: 'kl-btn', text: t('Close'), onclick: () => {
      this.close();
      this.closed();
    } });
    const code = `kl.diff(${ids.map((id) => `"${id.slice(-12)}"`).join(', ')})`;
    const title = h('h3', { text: tn('%1 run compared', '%1 runs compared', ids.length), tabindex: -1 });
    fill(this.element, h('div', { class: 'kl-row' }, title, h('code', { class: 'kl-mono', text: code }), this.taking(code), h('span', { class: 'kl-grow' }), close));
    this.element.hidden = false;
    title.focus();
    void mountComparison(this.element, this.source, ids, AbortSignal.any([this.signal, this.shown.signal]), this.host);
  }

  private close(): void {
    this.shown.abort();
    this.element.hidden = true;
  }

  private taking(code: string): HTMLButtonElement {
    const button = h('button', { type: 'button', class: 'kl-btn', text: this.host.insertCode ? t('Insert') : t('Copy') });
    button.addEventListener('click', () => {
      if (this.host.insertCode) this.host.insertCode(code);
      else void copy(code).then((done) => setText(button, done ? t('Copied') : t('It cannot be copied here')));
    });
    return button;
  }
}
