// Tabs of the main area: a run, a flow's form, the runs table, the inbox, the dashboard. They come back with the layout.

import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Dialog, ICommandPalette, InputDialog, MainAreaWidget, WidgetTracker, showDialog } from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';
import { ITranslator, type TranslationBundle, nullTranslator } from '@jupyterlab/translation';
import { type LabIcon, listIcon, runIcon } from '@jupyterlab/ui-components';
import type { JSONObject, ReadonlyPartialJSONObject } from '@lumino/coreutils';
import type { Source } from '../sources/source.ts';
import { dashboardIcon, inboxIcon, kodosumiIcon } from './icons.ts';
import { CATEGORY, Commands, texts } from './names.ts';
import { IConnection, IHost, ISettings, IViews, IWatched } from './tokens.ts';
import { drawDashboard, drawForm, drawInbox, drawRun, drawRuns } from './drawn.ts';
import { View } from './view.ts';

type Args = Readonly<Record<string, string | undefined>>;

/** What a kind of tab is called and shows, for its arguments. */
interface Kind {
  icon: LabIcon;
  label(args: Args): string;
  caption: string;
  draw(element: HTMLElement, source: Source, signal: AbortSignal, args: Args, titled: (label: string) => void): Promise<void>;
}

/** The end of an id: ids that start at the same time begin alike. */
const short = (runId = ''): string => runId.slice(-8);

function kindsOf(host: IHost, watched: IWatched, trans: TranslationBundle): Record<string, Kind> {
  const launched = (runId: string): void => {
    watched.add(runId);
    host.openRun(runId);
  };
  return {
    run: {
      icon: kodosumiIcon,
      label: (args) => trans.__('Run %1', short(args['runId'])),
      caption: trans.__('A run: its results, progress, console, events and questions'),
      draw: (element, source, signal, args, titled) => drawRun(element, source, signal, host, { runId: args['runId'] ?? '', titled }),
    },
    form: {
      icon: runIcon,
      label: (args) => (args['rerun'] ? trans.__('Rerun %1', short(args['rerun'])) : trans.__('Launch %1', args['flow'] ?? '')),
      caption: trans.__('The inputs of a flow'),
      draw: (element, source, signal, args) => drawForm(element, source, signal, host, trans, { flow: args['flow'], rerun: args['rerun'], launched }),
    },
    runs: {
      icon: listIcon,
      label: (args) => (args['cell'] ? trans.__('Runs of a Cell') : trans.__('Runs')),
      caption: trans.__('All runs of the log: filter, sort, compare'),
      draw: (element, source, signal, args) => drawRuns(element, source, signal, host, { search: args['search'], cell: args['cell'] }),
    },
    inbox: {
      icon: inboxIcon,
      label: () => trans.__('Waiting for me'),
      caption: trans.__('Questions of runs that wait for an answer'),
      draw: (element, source, signal) => drawInbox(element, source, signal, host),
    },
    dashboard: {
      icon: dashboardIcon,
      label: () => trans.__('Kodosumi Dashboard'),
      caption: trans.__('Runs, flows and the cluster, in a page of its own'),
      draw: (element, source, signal) => drawDashboard(element, source, source.transport.url('/dashboard/') ?? '', trans, signal),
    },
  };
}

/** One tab for each: the same arguments lead to the same tab. */
function keyOf(args: Args): string {
  return [args['view'], args['runId'] ?? args['flow'] ?? args['rerun'] ?? args['cell']].filter(Boolean).join(':');
}

export const tabs: JupyterFrontEndPlugin<IViews> = {
  id: 'kodosumi-lab:tabs',
  description: 'Tabs with runs, forms, the runs table, the inbox and the dashboard.',
  autoStart: true,
  provides: IViews,
  requires: [IConnection, IHost, IWatched, ISettings],
  optional: [ILayoutRestorer, ICommandPalette, ILauncher, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    link: IConnection,
    host: IHost,
    watched: IWatched,
    settings: ISettings,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    launcher: ILauncher | null,
    translator: ITranslator | null,
  ) => {
    const trans = (translator ?? nullTranslator).load('kodosumi_lab');
    const tracker: IViews = new WidgetTracker({ namespace: 'kodosumi-lab' });
    const kinds = kindsOf(host, watched, trans);

    const open = (given: ReadonlyPartialJSONObject): MainAreaWidget<View> => {
      const args = textsOf(given);
      const id = `kodosumi-lab-${keyOf(args)}`;
      const found = tracker.find((widget) => widget.id === id);
      const widget = found ?? make(args, id);
      if (!widget.isAttached) {
        // what stands beside the notebook already is joined, so that the notebook stays as wide as it is
        const ref = tracker.find((other) => other !== widget && other.isAttached)?.id;
        const beside = settings.value.get().defaultLayout === 'beside';
        app.shell.add(widget, 'main', { type: 'Kodosumi', ...(beside ? { mode: ref === undefined ? 'split-right' : 'tab-after', ref } : {}) });
      }
      app.shell.activateById(id);
      return widget;
    };

    const make = (args: Args, id: string): MainAreaWidget<View> => {
      const kind = kinds[args['view'] ?? ''];
      if (!kind) throw new Error(`there is no view ${args['view'] ?? 'without a name'}`);
      const titled = (label: string): void => void (widget.title.label = label);
      const content: View = new View({
        link, trans, args: args as JSONObject,
        draw: (element, source, signal) => kind.draw(element, source, signal, args, titled),
      });
      const widget = new MainAreaWidget({ content });
      widget.id = id;
      widget.title.label = kind.label(args);
      widget.title.caption = kind.caption;
      widget.title.icon = kind.icon;
      widget.title.closable = true;
      widget.toolbar.hide(); // views have their buttons where they belong
      if (args['runId']) widget.title.dataset = { 'run-id': args['runId'] };
      void tracker.add(widget);
      return widget;
    };

    addCommands(app, link, watched, kinds, open, trans);
    if (restorer) {
      const named = (widget: MainAreaWidget<View>): Args => textsOf(widget.content.args);
      void restorer.restore(tracker, { command: Commands.openView, args: (widget) => widget.content.args, name: (widget) => keyOf(named(widget)) });
    }
    for (const command of [Commands.openRuns, Commands.openInbox, Commands.openDashboard, Commands.launchFlow]) {
      palette?.addItem({ command, category: CATEGORY, args: { isPalette: true } });
    }
    [Commands.openRuns, Commands.launchFlow].forEach((command, rank) => {
      launcher?.add({ command, category: CATEGORY, rank, args: { isLauncher: true } });
    });
    return tracker;
  },
};

function addCommands(
  app: JupyterFrontEnd, link: IConnection, watched: IWatched, kinds: Record<string, Kind>, open: (args: ReadonlyPartialJSONObject) => MainAreaWidget<View>,
  trans: TranslationBundle,
): void {
  const { commands } = app;
  commands.addCommand(Commands.openView, {
    label: (args) => kinds[textsOf(args)['view'] ?? '']?.label(textsOf(args)) ?? trans.__('Open a View of Kodosumi'),
    caption: trans.__('Open a tab of Kodosumi Lab'),
    icon: kodosumiIcon,
    describedBy: texts({ view: 'run, form, runs, inbox or dashboard', runId: 'of a run', flow: 'of a form', rerun: 'run whose inputs a form has' }),
    execute: open,
  });
  commands.addCommand(Commands.openRun, {
    label: trans.__('Open Run'),
    caption: trans.__('Open a run in a tab'),
    icon: kodosumiIcon,
    describedBy: texts({ runId: 'Id of the run' }),
    execute: async (args) => {
      const runId = textsOf(args)['runId'] ?? runUnder(app) ?? (await askForRun(trans));
      if (!runId) return undefined;
      watched.add(runId);
      return open({ view: 'run', runId });
    },
  });
  const single = (id: string, view: string, label: string): void => {
    commands.addCommand(id, {
      label, caption: kinds[view]!.caption,
      icon: (args) => (args['isLauncher'] ? kodosumiIcon : kinds[view]!.icon),
      describedBy: texts({ search: 'Text to look for, of the runs table' }),
      execute: (args) => open({ ...textsOf(args), view }),
    });
  };
  single(Commands.openRuns, 'runs', trans.__('Runs'));
  single(Commands.openInbox, 'inbox', trans.__('Questions Waiting for Me'));
  single(Commands.openDashboard, 'dashboard', trans.__('Dashboard'));
  commands.addCommand(Commands.launchFlow, {
    label: (args) => (textsOf(args)['flow'] ? trans.__('Launch %1…', textsOf(args)['flow']!) : args['isLauncher'] ? trans.__('Launch Flow') : trans.__('Launch Flow…')),
    caption: trans.__('Choose a flow and fill in its form'),
    icon: runIcon,
    describedBy: texts({ flow: 'Name of the flow; asked for where it is left out' }),
    isEnabled: () => link.live || link.state.get().kind === 'off',
    execute: async (args) => {
      const flow = textsOf(args)['flow'] ?? flowUnder(app) ?? (await askForFlow(link.source, trans));
      return flow ? open({ view: 'form', flow }) : undefined;
    },
  });
  link.state.watch(() => commands.notifyCommandChanged(Commands.launchFlow), new AbortController().signal);
}

/** The run that a context menu was opened on. */
export function runUnder(app: JupyterFrontEnd): string | undefined {
  return app.contextMenuHitTest((node) => node.dataset['runId'] !== undefined)?.dataset['runId'];
}

/** The run that a command is about: named, or clicked, or in front. */
export function runMeant(app: JupyterFrontEnd, views: IViews, args: ReadonlyPartialJSONObject): string | undefined {
  if (typeof args['runId'] === 'string') return args['runId'];
  const front = views.currentWidget;
  const shown = front !== null && front === app.shell.currentWidget ? front.content.args['runId'] : undefined;
  return runUnder(app) ?? (typeof shown === 'string' ? shown : undefined);
}

/** The flow that a context menu was opened on. */
export function flowUnder(app: JupyterFrontEnd): string | undefined {
  return app.contextMenuHitTest((node) => node.dataset['flowName'] !== undefined)?.dataset['flowName'];
}

async function askForRun(trans: TranslationBundle): Promise<string | null> {
  const asked = await InputDialog.getText({ title: trans.__('Open Run'), label: trans.__('Id of the run'), okLabel: trans.__('Open') });
  return asked.button.accept ? (asked.value?.trim() ?? null) : null;
}

async function askForFlow(source: Source, trans: TranslationBundle): Promise<string | null> {
  const flows = await source.flows();
  if (flows.length === 0) {
    const body = trans.__('Register a module with flows, in a terminal: kodosumi-lab register package.module');
    await showDialog({ title: trans.__('There are no flows yet'), body, buttons: [Dialog.okButton()] });
    return null;
  }
  const asked = await InputDialog.getItem({ title: trans.__('Launch Flow'), items: flows.map((flow) => flow.name), okLabel: trans.__('Open Form') });
  return asked.button.accept ? asked.value : null;
}

function textsOf(args: ReadonlyPartialJSONObject): Args {
  return Object.fromEntries(Object.entries(args).filter(([, value]) => typeof value === 'string')) as Args;
}
