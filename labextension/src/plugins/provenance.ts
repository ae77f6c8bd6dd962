// From a run to the notebook and the cell that launched it, and back: from a cell to its runs.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { PageConfig } from '@jupyterlab/coreutils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { ServerConnection } from '@jupyterlab/services';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { listIcon, notebookIcon } from '@jupyterlab/ui-components';
import { originOf, serverPath } from '../sources/origin.ts';
import { CATEGORY, Commands, texts } from './names.ts';
import { runMeant } from './tabs.ts';
import { IConnection, IHost, IViews } from './tokens.ts';

export const provenance: JupyterFrontEndPlugin<void> = {
  id: 'kodosumi-lab:provenance',
  description: 'Leads from a run to the cell that launched it, and from a cell to its runs.',
  autoStart: true,
  requires: [IConnection, IHost, IViews, INotebookTracker, IDocumentManager],
  optional: [ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd, link: IConnection, host: IHost, views: IViews, notebooks: INotebookTracker, documents: IDocumentManager,
    palette: ICommandPalette | null, translator: ITranslator | null,
  ) => {
    const trans = (translator ?? nullTranslator).load('kodosumi_lab');
    const go = async (runId: string): Promise<void> => {
      const origin = originOf((await link.source.run(runId, new AbortController().signal)).meta);
      if (!origin) {
        host.notify(trans.__('This run was not launched from a notebook cell.'), 'info');
        return;
      }
      const path = serverPath(origin.path, PageConfig.getOption('serverRoot'));
      const there = path !== null && (await isThere(documents, path));
      // a notebook that was renamed has the cell under its id, if it is open
      const panel = there ? documents.openOrReveal(path, 'Notebook') : notebooks.find((one) => one.content.widgets.some((cell) => cell.model.id === origin.cell));
      if (!(panel instanceof NotebookPanel)) {
        const why = path === null
          ? trans.__('The notebook %1 is not below the folder that JupyterLab shows.', origin.path)
          : there
            ? trans.__('%1 cannot be opened as a notebook.', path)
            : trans.__('The notebook %1 is not there any more: it was renamed, moved or deleted. Open it under its new name, and try again.', path);
        host.notify(why, 'warning');
        return;
      }
      app.shell.activateById(panel.id);
      await panel.context.ready;
      await panel.revealed;
      await show(panel, origin, (message) => host.notify(message, 'info'), trans.__('The cell that launched this run is no longer in the notebook.'), trans.__('The cell has changed since it launched this run.'));
    };
    app.commands.addCommand(Commands.goToCell, {
      label: trans.__('Go to the Cell That Launched It'), caption: trans.__('Open the notebook at the cell that launched the run'), icon: notebookIcon,
      describedBy: texts({ runId: 'Id of the run; the one in front where it is left out' }),
      isEnabled: (args) => link.live && runMeant(app, views, args) !== undefined,
      execute: async (args) => {
        const runId = runMeant(app, views, args);
        if (runId === undefined) return;
        await go(runId).catch((error: unknown) => host.notify(error instanceof Error ? error.message : String(error), 'error'));
      },
    });
    app.commands.addCommand(Commands.runsOfCell, {
      label: trans.__('Runs of This Cell'), caption: trans.__('Show the runs that this cell has launched'), icon: listIcon, describedBy: texts({}),
      isEnabled: () => notebooks.activeCell?.model.type === 'code',
      execute: () => {
        const cell = notebooks.activeCell?.model.id;
        return cell === undefined ? null : app.commands.execute(Commands.openView, { view: 'runs', cell });
      },
    });
    app.contextMenu.addItem({ command: Commands.runsOfCell, selector: '.jp-Notebook .jp-CodeCell', rank: 20 });
    for (const command of [Commands.goToCell, Commands.runsOfCell]) palette?.addItem({ command, category: CATEGORY });
  },
};

/** Whether a file is there, as far as its server tells. */
async function isThere(documents: IDocumentManager, path: string): Promise<boolean> {
  try {
    await documents.services.contents.get(path, { content: false });
    return true;
  } catch (error) {
    if (error instanceof ServerConnection.ResponseError && error.response.status === 404) return false;
    throw error;
  }
}

async function show(panel: NotebookPanel, origin: { cell: string; source_sha256: string }, tell: (text: string) => void, gone: string, changed: string): Promise<void> {
  const notebook = panel.content;
  const index = notebook.widgets.findIndex((cell) => cell.model.id === origin.cell);
  const cell = notebook.widgets[index];
  if (!cell) {
    tell(gone);
    return;
  }
  notebook.activeCellIndex = index;
  notebook.deselectAll();
  await notebook.scrollToItem(index, 'center');
  if (origin.source_sha256 && crypto.subtle as SubtleCrypto | undefined) {
    const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(cell.model.sharedModel.getSource()));
    const hex = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
    if (hex !== origin.source_sha256) tell(changed);
  }
}
