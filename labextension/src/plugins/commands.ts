// Commands that act on runs and flows: from the palette on the run in front, from menus on the one that was clicked.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Dialog, ICommandPalette, showDialog } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { addBelowIcon, bellIcon, copyIcon, editIcon, linkIcon, redoIcon, refreshIcon, stopIcon } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import { copy } from '../views/host.ts';
import { launchCode, runCode } from './code.ts';
import { CATEGORY, Commands, FLOW_SELECTOR, RUN_SELECTOR, texts } from './names.ts';
import { flowUnder, runMeant } from './tabs.ts';
import { IConnection, IFeed, IHost, ISettings, IViews, IWatched } from './tokens.ts';

type Args = Parameters<CommandRegistry['execute']>[1];

const RUN = { runId: 'Id of the run; the one in front where it is left out' };

export const commands: JupyterFrontEndPlugin<void> = {
  id: 'kodosumi-lab:commands',
  description: 'Commands that cancel runs, launch them again, and insert code.',
  autoStart: true,
  requires: [IConnection, IFeed, IHost, ISettings, IViews, IWatched],
  optional: [ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd, link: IConnection, feed: IFeed, host: IHost, settings: ISettings, views: IViews, watched: IWatched,
    palette: ICommandPalette | null, translator: ITranslator | null,
  ) => {
    const trans = (translator ?? nullTranslator).load('kodosumi_lab');
    const { source } = link;

    const runOf = (args: Args): string | undefined => runMeant(app, views, args ?? {});
    /** Add a command about a run; what it throws is told. */
    const aboutRun = (id: string, options: Omit<CommandRegistry.ICommandOptions, 'execute'>, act: (runId: string) => Promise<unknown>): void => {
      app.commands.addCommand(id, {
        describedBy: texts(RUN),
        isEnabled: (args) => runOf(args) !== undefined && link.live,
        ...options,
        execute: async (args) => {
          const runId = runOf(args);
          if (runId === undefined) return null;
          try {
            return await act(runId);
          } catch (error) {
            host.notify(error instanceof Error ? error.message : String(error), 'error');
            return null;
          }
        },
      });
    };

    /** Whether it has not ended, as far as that is known: of very many open runs only the newest are. */
    const mayBeOpen = (runId: string | undefined): boolean => {
      const now = feed.now.get();
      return now === null || now.total > now.runs.length || now.runs.some((row) => row.run_id === runId);
    };
    const cancelling = {
      label: trans.__('Cancel Run'), caption: trans.__('End a run; its events stay in the log'), icon: stopIcon,
      isEnabled: (args: Args) => link.live && runOf(args) !== undefined && mayBeOpen(runOf(args)),
    };
    aboutRun(Commands.cancelRun, cancelling, async (runId) => {
      const { flow } = await source.run(runId);
      const asked = await showDialog({
        title: trans.__('Cancel this run?'),
        body: trans.__('%1, run %2. Its events stay in the log.', flow, runId),
        defaultButton: 0,
        buttons: [Dialog.cancelButton({ label: trans.__('Keep Running') }), Dialog.warnButton({ label: trans.__('Cancel Run') })],
      });
      if (!asked.button.accept) return;
      await source.cancel(runId);
      feed.wake();
    });
    aboutRun(Commands.rerun, { label: trans.__('Run Again'), caption: trans.__('Launch the flow with the same inputs'), icon: redoIcon }, async (runId) => {
      const made = await source.rerun(runId);
      watched.add(made.run_id);
      feed.wake();
      host.openRun(made.run_id);
    });
    aboutRun(
      Commands.rerunChanged,
      { label: trans.__('Run Again with Changes…'), caption: trans.__("Open the flow's form with the inputs of this run"), icon: editIcon },
      (runId) => app.commands.execute(Commands.openView, { view: 'form', rerun: runId }),
    );
    aboutRun(
      Commands.copyRunId,
      { label: trans.__('Copy Run Id'), caption: trans.__('Put the id of a run on the clipboard'), icon: copyIcon, isEnabled: (args) => runOf(args) !== undefined },
      async (runId) => {
        if (!(await copy(runId))) host.notify(runId, 'info');
      },
    );
    aboutRun(
      Commands.watchRun,
      {
        label: trans.__('Tell Me when It Ends or Asks'), caption: trans.__('Show a toast when this run finishes, fails or asks'), icon: bellIcon,
        isToggled: (args) => watched.ids.get().has(runOf(args) ?? ''), isToggleable: true,
      },
      (runId) => {
        watched.toggle(runId);
        return Promise.resolve();
      },
    );
    app.commands.addCommand(Commands.insertCode, {
      label: trans.__('Insert Code'),
      caption: trans.__('Put code that launches the flow, or shows the run, into the notebook'),
      icon: addBelowIcon,
      describedBy: texts({ ...RUN, flow: 'Name of the flow' }),
      isEnabled: (args) => typeof args['flow'] === 'string' || flowUnder(app) !== undefined || runOf(args) !== undefined,
      execute: async (args) => {
        const style = settings.value.get().insertCodeStyle;
        const name = typeof args['flow'] === 'string' ? args['flow'] : flowUnder(app);
        const runId = runOf(args);
        if (name !== undefined) {
          const flow = (await source.flows(name)).find((one) => one.name === name);
          host.insertCode(launchCode(flow ?? { name, schema: {} }, style));
        } else if (runId !== undefined) {
          host.insertCode(runCode(runId, style));
        }
      },
    });
    app.commands.addCommand(Commands.refresh, {
      label: trans.__('Refresh'), caption: trans.__('Look at the log again, now'), icon: refreshIcon, describedBy: texts({}),
      execute: () => {
        link.retry();
        feed.wake();
        views.forEach((widget) => widget.isVisible && widget.content.args['view'] !== 'form' && widget.content.redraw());
      },
    });
    app.commands.addCommand(Commands.connect, {
      label: trans.__('Connect to the Gateway'), caption: trans.__('Look for the gateway of this Jupyter server, now'), icon: linkIcon, describedBy: texts({}),
      isEnabled: () => !link.live,
      execute: () => link.retry(),
    });

    const changed = (): void => app.commands.notifyCommandChanged();
    app.shell.currentChanged?.connect(changed);
    link.state.watch(changed, new AbortController().signal);
    feed.now.watch(() => app.commands.notifyCommandChanged(Commands.cancelRun), new AbortController().signal);
    const listed = [Commands.cancelRun, Commands.rerun, Commands.rerunChanged, Commands.watchRun, Commands.copyRunId, Commands.insertCode];
    for (const command of [...listed, Commands.refresh, Commands.connect]) palette?.addItem({ command, category: CATEGORY });
    menus(app);
  },
};

/** Menus of everything that carries the id of a run or the name of a flow, in whatever view. */
function menus(app: JupyterFrontEnd): void {
  const add = (command: string, selector: string, rank: number): void => void app.contextMenu.addItem({ command, selector, rank });
  const ofRun = [Commands.openRun, Commands.insertCode, Commands.goToCell, Commands.exportRun, Commands.copyRunId, Commands.watchRun, Commands.rerun, Commands.rerunChanged, Commands.cancelRun];
  ofRun.forEach((command, rank) => add(command, RUN_SELECTOR, rank));
  [Commands.launchFlow, Commands.insertCode].forEach((command, rank) => add(command, FLOW_SELECTOR, rank));
}
