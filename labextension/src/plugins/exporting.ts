// A run as a file in JupyterLab's folder, from its menus and the palette.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, Notification } from '@jupyterlab/apputils';
import { PathExt } from '@jupyterlab/coreutils';
import { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { downloadIcon } from '@jupyterlab/ui-components';
import { download } from '../views/host.ts';
import { CATEGORY, Commands, texts } from './names.ts';
import { runMeant } from './tabs.ts';
import { IConnection, IHost, IViews } from './tokens.ts';

const SHOWN_MS = 8000;

export const exporting: JupyterFrontEndPlugin<void> = {
  id: 'kodosumi-lab:exporting',
  description: 'Writes a run to a file that can be opened without its log.',
  autoStart: true,
  requires: [IConnection, IHost, IViews],
  optional: [IDefaultFileBrowser, ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd, link: IConnection, host: IHost, views: IViews,
    browser: IDefaultFileBrowser | null, palette: ICommandPalette | null, translator: ITranslator | null,
  ) => {
    const trans = (translator ?? nullTranslator).load('kodosumi_lab');
    const write = async (runId: string): Promise<void> => {
      const { name, content } = await link.source.exportRun(runId);
      if (!browser) {
        download(name, content);
        return;
      }
      const path = PathExt.join(browser.model.path, name);
      await app.serviceManager.contents.save(path, { type: 'file', format: 'text', content: await content.text() });
      void browser.model.refresh();
      const open = { label: trans.__('Open'), callback: () => void app.commands.execute('docmanager:open', { path }) };
      Notification.success(trans.__('The run is in %1', path), { autoClose: SHOWN_MS, actions: [open] });
    };
    app.commands.addCommand(Commands.exportRun, {
      label: trans.__('Export Run…'), caption: trans.__('Write the run to a file in the current folder; it opens without the log'), icon: downloadIcon,
      describedBy: texts({ runId: 'Id of the run; the one in front where it is left out' }),
      isEnabled: (args) => link.live && runMeant(app, views, args) !== undefined,
      execute: async (args) => {
        const runId = runMeant(app, views, args);
        if (runId === undefined) return;
        await write(runId).catch((error: unknown) => {
          const why = error instanceof Error ? error.message : String(error);
          host.notify(trans.__('The run cannot be exported: %1', why), 'error');
        });
      },
    });
    palette?.addItem({ command: Commands.exportRun, category: CATEGORY });
  },
};
