// What views may ask of JupyterLab: tabs, notebooks, toasts.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { INotebookTracker, NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { copy } from '../views/host.ts';
import { setCatalogue } from '../views/words.ts';
import { catalogueOf } from './catalogue.ts';
import { Commands } from './names.ts';
import { IHost } from './tokens.ts';

const SHOWN_MS = 5000;

export const host: JupyterFrontEndPlugin<IHost> = {
  id: 'kodosumi-lab:host',
  description: 'What views of Kodosumi Lab may ask of JupyterLab.',
  autoStart: true,
  provides: IHost,
  optional: [INotebookTracker, ITranslator],
  activate: (app: JupyterFrontEnd, notebooks: INotebookTracker | null, translator: ITranslator | null): IHost => {
    const trans = (translator ?? nullTranslator).load('kodosumi_lab');
    if (translator) setCatalogue(catalogueOf(translator)); // whatever shows views requires this plugin
    const notify: IHost['notify'] = (message, kind) => {
      Notification.emit(message, kind, { autoClose: kind === 'error' ? false : SHOWN_MS });
    };
    return {
      notify,
      exportRun: (runId) => app.commands.execute(Commands.exportRun, { runId }) as Promise<void>,
      openRun: (runId) => void app.commands.execute(Commands.openRun, { runId }),
      insertCode: (code) => {
        const panel = notebooks?.currentWidget;
        if (panel) {
          app.shell.activateById(panel.id);
          insert(panel, code);
          return;
        }
        void copy(code).then((done) => {
          if (done) notify(trans.__('No notebook is open: the code is on the clipboard.'), 'info');
          else notify(trans.__('No notebook is open, and the clipboard cannot be used.'), 'warning');
        });
      },
    };
  },
};

/** Into the active cell if that is empty, else into a new one below it. */
function insert(panel: NotebookPanel, code: string): void {
  const notebook = panel.content;
  const { activeCell } = notebook;
  if (activeCell?.model.type !== 'code' || activeCell.model.sharedModel.getSource().trim() !== '') NotebookActions.insertBelow(notebook);
  notebook.activeCell?.model.sharedModel.setSource(code);
  notebook.mode = 'command';
  notebook.activate();
}
