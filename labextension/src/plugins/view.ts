// A Lumino widget around a view of ours: drawn once it is seen and the gateway is there, and drawn anew over another log.

import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSONObject } from '@lumino/coreutils';
import { Widget } from '@lumino/widgets';
import type { Link } from '../sources/link.ts';
import type { Source } from '../sources/source.ts';
import { fill, h } from '../views/dom.ts';
import { root } from '../views/theme.ts';
import { mountNotice } from './notice.ts';

export interface ViewOptions {
  link: Link;
  trans: TranslationBundle;
  /** Draw below `element` until the signal is aborted. */
  draw: (element: HTMLElement, source: Source, signal: AbortSignal) => Promise<void> | void;
  /** What it shows, to be asked for again after a reload. */
  args?: JSONObject;
  /** Say nothing while there is no gateway: somebody beside it does. */
  quiet?: boolean;
  /** It is seen again. */
  shown?: () => void;
}

export class View extends Widget {
  readonly args: JSONObject;
  private readonly life = new AbortController();
  /** Of what is drawn; null while nothing is. */
  private drawn: AbortController | null = null;
  private log: string | null = null;
  private started = false;

  constructor(private readonly options: ViewOptions) {
    super();
    this.args = options.args ?? {};
    this.addClass('kl-lab-view');
    this.node.tabIndex = -1;
  }

  override dispose(): void {
    this.life.abort();
    this.drawn?.abort();
    super.dispose();
  }

  /** Draw it anew, as when it is opened. */
  redraw(): void {
    if (!this.started) return;
    this.log = null;
    this.settle();
  }

  protected override onBeforeShow(): void {
    this.start();
  }

  protected override onAfterShow(): void {
    this.options.shown?.();
  }

  protected override onAfterAttach(): void {
    if (this.isVisible) this.start();
  }

  private start(): void {
    if (this.started) return;
    this.started = true;
    this.options.link.start();
    this.options.link.state.watch(() => this.settle(), this.life.signal);
  }

  private settle(): void {
    const state = this.options.link.state.get();
    if (state.kind !== 'live') {
      // what is drawn stays, and says itself that it is not live
      if (this.log === null && this.drawn === null) this.notice();
      return;
    }
    if (this.log === state.log && this.drawn !== null) return;
    this.log = state.log;
    const signal = this.clean();
    void this.draw(signal);
  }

  private notice(): void {
    const signal = this.clean();
    if (!this.options.quiet) mountNotice(this.node, this.options.link, this.options.trans, signal);
    // not yet a drawing: the first live state makes one
    this.log = null;
  }

  private clean(): AbortSignal {
    this.drawn?.abort();
    this.drawn = new AbortController();
    fill(this.node);
    return this.drawn.signal;
  }

  private async draw(signal: AbortSignal): Promise<void> {
    const { link, trans, draw } = this.options;
    try {
      await draw(this.node, link.source, signal);
    } catch (error) {
      if (signal.aborted) return;
      const again = h('button', { type: 'button', class: 'kl-btn', text: trans.__('Try again'), onclick: () => this.redraw() });
      fill(this.node);
      const shown = root(this.node, '', signal);
      shown.append(h('p', { class: 'kl-problem', role: 'alert', text: error instanceof Error ? error.message : String(error) }), again);
    }
  }
}
