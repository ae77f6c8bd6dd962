// Outputs of notebooks that show a run or a sweep, alive again without running anything: over HTTP where the gateway has the run's log, else by
// the widget beside it where its kernel still has that, else as it was when the cell ran.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import type { ISessionContext } from '@jupyterlab/apputils';
import { IRenderMimeRegistry, type IRenderMime } from '@jupyterlab/rendermime';
import { ITranslator, type TranslationBundle, nullTranslator } from '@jupyterlab/translation';
import { Panel, Widget } from '@lumino/widgets';
import type { Link } from '../sources/link.ts';
import { Refusal } from '../sources/source.ts';
import { aborted } from '../sources/transport.ts';
import { h, setText } from '../views/dom.ts';
import { root } from '../views/theme.ts';
import { drawRun, drawSweep } from './drawn.ts';
import { IConnection, IHost } from './tokens.ts';

export const RUN_MIME = 'application/vnd.kodosumi.run.v1+json';
export const SWEEP_MIME = 'application/vnd.kodosumi.sweep.v1+json';
const WIDGET_MIME = 'application/vnd.jupyter.widget-view+json';
const HTML_MIME = 'text/html';

/** Before that of widgets, which is at -10. */
const RANK = -20;

/** The bundle's own part: which run or sweep, in which log. */
interface Shown {
  run_id?: string;
  sweep_id?: string;
  log_dir?: string;
  /** Id of the log, as the gateway's health tells it. */
  log?: string;
}

export const renderer: JupyterFrontEndPlugin<void> = {
  id: 'kodosumi-lab:renderer',
  description: 'Shows outputs of runs and sweeps, alive where the log can be reached.',
  autoStart: true,
  requires: [IConnection, IHost, IRenderMimeRegistry],
  optional: [ITranslator],
  activate: (_app: JupyterFrontEnd, link: IConnection, host: IHost, rendermime: IRenderMimeRegistry, translator: ITranslator | null) => {
    const trans = (translator ?? nullTranslator).load('kodosumi_lab');
    rendermime.addFactory({
      safe: true, // all that is taken from the output is an id; what it names is cleaned where it is shown
      mimeTypes: [RUN_MIME, SWEEP_MIME],
      createRenderer: ({ mimeType }) => new LiveOutput(mimeType, link, host, rendermime, trans),
    }, RANK);
  },
};

/** Statuses after which a kernel has none of its widgets. */
const ENDS = ['restarting', 'autorestarting', 'terminating', 'dead'];

type Mode = 'live' | 'widget' | 'snapshot';

class LiveOutput extends Panel implements IRenderMime.IRenderer {
  private model: IRenderMime.IMimeModel | null = null;
  private mode: Mode | null = null;
  private shown: AbortController | null = null;
  private readonly life = new AbortController();
  private readonly why = h('span', { role: 'status' });
  private watching = false;
  /** The kernel that was asked last. */
  private kernel = '';
  /** Decisions that were begun: only the last one counts. */
  private turn = 0;

  constructor(
    private readonly mime: string,
    private readonly link: Link,
    private readonly host: IHost,
    private readonly registry: IRenderMimeRegistry,
    private readonly trans: TranslationBundle,
  ) {
    super();
    this.addClass('kl-lab-output');
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const before = this.data;
    this.model = model;
    this.node.dataset['runId'] = this.data?.run_id ?? '';
    if (before !== null && idOf(before) !== idOf(this.data)) {
      this.mode = null; // the cell shows another one now
      if (this.watching) await this.decide();
    }
    if (this.isAttached) this.watch();
    await Promise.resolve();
  }

  override dispose(): void {
    this.life.abort();
    this.shown?.abort();
    super.dispose();
  }

  protected override onAfterAttach(): void {
    this.watch();
  }

  private get data(): Shown | null {
    return (this.model?.data[this.mime] as unknown as Shown | undefined) ?? null;
  }

  /** A notebook may hold many: nothing is asked for before it is nearly seen. */
  private watch(): void {
    if (this.watching || !this.model) return;
    this.watching = true;
    if (this.mode === null) void this.present('snapshot', '');
    const observer = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      this.link.start();
      this.link.state.watch(() => void this.decide(), this.life.signal);
      this.followKernel();
    }, { rootMargin: '300px' });
    observer.observe(this.node);
    this.life.signal.addEventListener('abort', () => observer.disconnect(), { once: true });
  }

  /** A kernel may come late, as when the page was loaded again, and take its widgets with it when it goes. */
  private followKernel(): void {
    const context = above(this, 'sessionContext');
    if (!context) return;
    const again = (_: unknown, status: string): void => {
      const now = ENDS.includes(status) ? '' : (context.session?.kernel?.id ?? '');
      if (now === this.kernel || (now !== '' && status !== 'idle')) return;
      this.kernel = now;
      if (this.mode !== 'live') void this.decide();
    };
    context.statusChanged.connect(again);
    this.life.signal.addEventListener('abort', () => context.statusChanged.disconnect(again), { once: true });
  }

  private async decide(): Promise<void> {
    const { data } = this;
    const state = this.link.state.get();
    const turn = ++this.turn;
    const stale = (): boolean => turn !== this.turn || this.life.signal.aborted;
    if (!data || stale()) return;
    if (this.mode === 'live' && state.kind !== 'live') return; // the view itself says so, and goes on by itself
    const why = state.kind === 'live' ? await this.missing(data, state.log) : this.trans.__('not connected');
    if (stale()) return;
    if (why === null) {
      await this.present('live', '');
      return;
    }
    const lives = await this.widgetLives();
    if (stale()) return;
    if (lives) await this.present('widget', '');
    else await this.present('snapshot', state.kind === 'connecting' ? this.trans.__('connecting…') : why);
  }

  /** Why the gateway cannot show it, or null. */
  private async missing(data: Shown, log: string): Promise<string | null> {
    if (data.log && log && data.log !== log) {
      const where = data.log_dir ?? data.log;
      return data.run_id === undefined ? this.trans.__('this sweep is in another log, %1', where) : this.trans.__('this run is in another log, %1', where);
    }
    const { source } = this.link;
    try {
      if (data.run_id !== undefined) await source.run(data.run_id, this.life.signal);
      else await source.raw({ method: 'GET', path: source.sweepPath(idOf(data)), signal: this.life.signal });
      return null;
    } catch (error) {
      if (aborted(error)) return '';
      if (!(error instanceof Refusal) || error.problem.status !== 404) return this.trans.__('not connected');
      return data.run_id === undefined ? this.trans.__('this sweep is not in the log') : this.trans.__('this run is not in the log');
    }
  }

  /** The kernel that made the output still has the widget of it. */
  private async widgetLives(): Promise<boolean> {
    const id = (this.model?.data[WIDGET_MIME] as { model_id?: string } | undefined)?.model_id;
    const kernel = above(this, 'sessionContext')?.session?.kernel;
    if (id === undefined || !this.model?.trusted || !kernel || kernel.status === 'dead') return false;
    try {
      const reply = await kernel.requestCommInfo({ target_name: 'jupyter.widget' });
      return reply.content.status === 'ok' && id in reply.content.comms;
    } catch {
      return false;
    }
  }

  private async present(mode: Mode, why: string): Promise<void> {
    const { model, data } = this;
    if (!model || !data) return;
    const words = why === '' ? '' : this.trans.__('As it was when the cell ran: %1.', why);
    setText(this.why, words);
    this.toggleClass('kl-lab-waits', words === '');
    if (this.mode === mode) return;
    this.mode = mode;
    this.shown?.abort();
    this.shown = new AbortController();
    for (const old of [...this.widgets]) old.dispose();
    if (mode === 'live') {
      const place = new Widget();
      this.addWidget(place);
      const { link, host, shown: { signal } } = this;
      if (data.run_id !== undefined) await drawRun(place.node, link.source, signal, host, { runId: data.run_id, compact: true });
      else await drawSweep(place.node, link.source, signal, host, idOf(data));
      return;
    }
    if (mode === 'snapshot') this.addWidget(this.stale(this.shown.signal));
    await this.delegate(mode === 'widget' ? WIDGET_MIME : HTML_MIME, model);
  }

  /** As another renderer of the same output area shows it. */
  private async delegate(mime: string, model: IRenderMime.IMimeModel): Promise<void> {
    const registry = above(this, 'rendermime') ?? this.registry;
    const shown = mime in model.data && registry.mimeTypes.includes(mime) ? mime : 'text/plain';
    if (!(shown in model.data)) return;
    const made = registry.createRenderer(shown);
    this.addWidget(made);
    await made.renderModel(model);
  }

  /** The line that says what the snapshot is. */
  private stale(signal: AbortSignal): Widget {
    const widget = new Widget();
    const again = h('button', { type: 'button', class: 'kl-link', text: this.trans.__('Try again'), onclick: () => {
      this.link.retry();
      void this.decide();
    } });
    const made = root(widget.node, STALE_CSS, signal);
    made.classList.add('kl-lab-stalerow');
    made.append(h('div', { class: 'kl-lab-stale' }, this.why, again));
    return widget;
  }
}

function idOf(shown: Shown | null): string {
  return shown?.run_id ?? shown?.sweep_id ?? '';
}

/** What is nearest above a widget under that name: outputs know neither their area nor their kernel. */
function above(widget: Widget, name: 'rendermime'): IRenderMimeRegistry | undefined;
function above(widget: Widget, name: 'sessionContext'): ISessionContext | undefined;
function above(widget: Widget, name: string): unknown {
  for (let at: Widget | null = widget.parent; at; at = at.parent) {
    const held = (at as unknown as Record<string, unknown>)[name];
    if (held !== undefined) return held;
  }
  return undefined;
}

const STALE_CSS = `
.kl.kl-lab-stalerow { background: none; }
.kl .kl-lab-stale { display: flex; flex-wrap: wrap; gap: 8px; color: var(--kl-fg2); padding: 2px 0 4px; }
`;
