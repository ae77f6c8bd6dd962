// Files that are opened by a double-click: an exported run, and a Parquet of an event log.

import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { WidgetTracker } from '@jupyterlab/apputils';
import { ABCWidgetFactory, type DocumentRegistry, DocumentWidget, TextModelFactory } from '@jupyterlab/docregistry';
import { ITranslator, type TranslationBundle, nullTranslator } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';
import { Widget } from '@lumino/widgets';
import type { Link } from '../sources/link.ts';
import type { Source } from '../sources/source.ts';
import { fill, h } from '../views/dom.ts';
import type { Host } from '../views/host.ts';
import { root } from '../views/theme.ts';
import { kodosumiIcon } from './icons.ts';
import { IConnection, IHost } from './tokens.ts';
import { View } from './view.ts';

const RUN_FILE = 'kodosumi-run';
/** What a log itself writes is known by its name; any other Parquet may be somebody else's. */
const SEGMENT = 'kodosumi-segment';
const PARQUET = 'kodosumi-parquet';
const SEGMENT_NAME = String.raw`^([0-9a-z]+-\d{8}|compact-[0-9a-f]{12}-\d+)\.parquet$`;

const RUN_VIEWER = 'Kodosumi Run';
const LOG_VIEWER = 'Kodosumi Event Log';
const UNREAD = 'kodosumi-unread';

type Shown = DocumentWidget;
type Draw = (context: DocumentRegistry.Context) => Widget;

export const files: JupyterFrontEndPlugin<void> = {
  id: 'kodosumi-lab:files',
  description: 'Opens exported runs, and Parquet files of event logs.',
  autoStart: true,
  requires: [IConnection, IHost],
  optional: [ILayoutRestorer, ITranslator],
  activate: (app: JupyterFrontEnd, link: IConnection, host: IHost, restorer: ILayoutRestorer | null, translator: ITranslator | null) => {
    const trans = (translator ?? nullTranslator).load('kodosumi_lab');
    const { docRegistry: registry } = app;
    registry.addFileType({
      name: RUN_FILE, displayName: trans.__('Exported Run'), extensions: ['.kodosumi-run.json'], mimeTypes: ['application/vnd.kodosumi.exported-run+json'],
      fileFormat: 'text', contentType: 'file', icon: kodosumiIcon,
    });
    const parquet = { displayName: trans.__('Event Log'), mimeTypes: ['application/vnd.apache.parquet'], fileFormat: 'base64', contentType: 'file' } as const;
    registry.addFileType({ ...parquet, name: SEGMENT, extensions: [], pattern: SEGMENT_NAME, icon: kodosumiIcon });
    registry.addFileType({ ...parquet, name: PARQUET, displayName: 'Parquet', extensions: ['.parquet'] });
    registry.addModelFactory(new Unread());

    const common = { readOnly: true, canStartKernel: false, preferKernel: false, translator: translator ?? nullTranslator };
    const run = new Factory({ ...common, name: RUN_VIEWER, label: trans.__('Kodosumi Run'), fileTypes: [RUN_FILE], defaultFor: [RUN_FILE] },
      (context) => new RunFile(context, link, host, trans));
    const log = (...defaultFor: string[]): Factory => new Factory(
      { ...common, name: LOG_VIEWER, label: trans.__('Kodosumi Event Log'), modelName: UNREAD, fileTypes: [SEGMENT, PARQUET], defaultFor },
      (context) => logFile(app, context, link, host, trans));
    const tracked = track(app, LOG_VIEWER, restorer);
    track(app, RUN_VIEWER, restorer)(run);
    const added = tracked(log(SEGMENT));
    void app.restored.then(() => {
      // whoever opens Parquet files of any kind keeps doing so; where nobody does, a text editor would show bytes
      if (registry.defaultWidgetFactory('a.parquet').name !== registry.defaultWidgetFactory('a').name) return;
      added.dispose();
      tracked(log(SEGMENT, PARQUET));
    });
  },
};

/** What registers factories of this name, so that their documents come back with the layout. */
function track(app: JupyterFrontEnd, name: string, restorer: ILayoutRestorer | null): (factory: Factory) => IDisposable {
  const tracker = new WidgetTracker<Shown>({ namespace: name.toLowerCase().replaceAll(' ', '-') });
  void restorer?.restore(tracker, {
    command: 'docmanager:open', args: (widget) => ({ path: widget.context.path, factory: name }), name: (widget) => widget.context.path,
  });
  return (factory) => {
    factory.widgetCreated.connect((_, widget) => {
      widget.title.icon = kodosumiIcon;
      widget.toolbar.hide(); // views have their buttons where they belong
      widget.context.pathChanged.connect(() => void tracker.save(widget));
      void tracker.add(widget);
    });
    return app.docRegistry.addWidgetFactory(factory);
  };
}

class Factory extends ABCWidgetFactory<Shown> {
  constructor(options: DocumentRegistry.IWidgetFactoryOptions<Shown>, private readonly draw: Draw) {
    super(options);
  }

  protected override createNewWidget(context: DocumentRegistry.Context): Shown {
    return new DocumentWidget({ content: this.draw(context), context });
  }
}

/** Of a file whose content the page does not ask for, however large it is. */
class Unread extends TextModelFactory {
  override get name(): string {
    return UNREAD;
  }

  override get fileFormat(): null {
    return null;
  }
}

/** An exported run: it is all in the file. */
class RunFile extends Widget {
  private drawn = new AbortController();

  constructor(
    private readonly context: DocumentRegistry.Context,
    private readonly link: Link,
    private readonly host: Host,
    private readonly trans: TranslationBundle,
  ) {
    super();
    this.addClass('kl-lab-view');
    this.node.tabIndex = -1;
    void context.ready.then(() => {
      this.refresh();
      context.fileChanged.connect(() => this.refresh());
    });
  }

  override dispose(): void {
    this.drawn.abort();
    super.dispose();
  }

  private refresh(): void {
    if (this.isDisposed) return;
    this.drawn.abort();
    this.drawn = new AbortController();
    fill(this.node);
    void this.draw(this.drawn.signal);
  }

  private async draw(signal: AbortSignal): Promise<void> {
    const [{ mountSaved, SAVED_CSS }, { ExportedSource, readExport }] = await Promise.all([import('../views/saved.ts'), import('../views/saved/exported.ts')]);
    if (signal.aborted) return;
    try {
      const text = this.context.model.toString();
      const exported = readExport(text);
      const name = this.context.localPath.split('/').pop() ?? '';
      const source = new ExportedSource(exported, this.link.source);
      mountSaved(page(this.node, SAVED_CSS, signal), source, { name, nbytes: this.context.contentsModel?.size ?? text.length, runs: 1, run_id: exported.run.run_id }, signal, this.host);
    } catch (error) {
      page(this.node, '', signal).append(
        h('p', { class: 'kl-problem', role: 'alert', text: error instanceof Error ? error.message : String(error) }),
        h('p', { class: 'kl-muted', text: this.trans.__('Open With, in the file\'s menu, shows its text.') }),
      );
    }
  }
}

/** A Parquet: the gateway reads it, so this waits for that as any view does. */
function logFile(app: JupyterFrontEnd, context: DocumentRegistry.Context, link: Link, host: Host, trans: TranslationBundle): Widget {
  const draw = async (element: HTMLElement, source: Source, signal: AbortSignal): Promise<void> => {
    const waiting = page(element, '', signal);
    waiting.append(h('div', { class: 'kl-empty', role: 'status', text: trans.__('Reading the file …') }));
    const [{ mountSaved, SAVED_CSS }, { OpenedSource }] = await Promise.all([import('../views/saved.ts'), import('../views/saved/opened.ts')]);
    const opened = await OpenedSource.open(source, app.serviceManager.contents.localPath(context.path), signal);
    waiting.remove();
    if (!signal.aborted) mountSaved(page(element, SAVED_CSS, signal), opened, opened.about, signal, host);
  };
  const view = new View({ link, trans, draw });
  void context.ready.then(() => context.fileChanged.connect(() => view.redraw()));
  return view;
}

function page(element: HTMLElement, css: string, signal: AbortSignal): HTMLElement {
  const made = root(element, css, signal);
  made.classList.add('kl-lab-page', 'kl-lab-run');
  // the runs are those of the file: what JupyterLab does with a run of the log is not for them
  made.addEventListener('contextmenu', (event) => event.stopPropagation(), { signal });
  return made;
}
