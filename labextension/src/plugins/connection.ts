// The gateway behind this Jupyter server, and the feed of what goes on there.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { INotebookTracker, NotebookActions } from '@jupyterlab/notebook';
import { Feed } from '../sources/feed.ts';
import { Link, mismatch } from '../sources/link.ts';
import { FetchTransport } from '../sources/transport.ts';
import { IConnection, IFeed, ISettings } from './tokens.ts';

/** A page lives as long as JupyterLab does. */
const forever = new AbortController().signal;

export const connection: JupyterFrontEndPlugin<IConnection> = {
  id: 'kodosumi-lab:connection',
  description: 'The event log behind this Jupyter server, as a Source for everybody on the page.',
  autoStart: true,
  requires: [ISettings],
  provides: IConnection,
  activate: (app: JupyterFrontEnd, settings: ISettings) => {
    const { baseUrl } = app.serviceManager.serverSettings;
    const path = (): string => settings.value.get().serverUrl;
    const link = new Link(new FetchTransport(() => baseUrl + path()), forever);
    let told = false;
    link.state.watch((state) => {
      const wrong = state.kind === 'live' && !told ? mismatch(state.version) : null;
      if (wrong === null) return;
      told = true;
      // a notification from before JupyterLab is there gets into its list, but is not shown
      void app.restored.then(() => Notification.warning(wrong, { autoClose: false }));
    }, forever);
    void settings.ready.then(() => {
      let asked = path();
      settings.value.watch(() => {
        if (path() !== asked && link.state.get().kind !== 'off') link.retry();
        asked = path();
      }, forever);
      if (settings.value.get().autoConnect) link.start();
    });
    return link;
  },
};

/** After a cell has run, its launches are in the log this soon. */
const AFTER_CELL_MS = 300;

export const feed: JupyterFrontEndPlugin<IFeed> = {
  id: 'kodosumi-lab:feed',
  description: 'Runs that are open and questions that wait, kept up to date.',
  autoStart: true,
  requires: [IConnection, ISettings],
  optional: [INotebookTracker],
  provides: IFeed,
  activate: (_app, link: IConnection, settings: ISettings, notebooks: INotebookTracker | null) => {
    const made = new Feed(link.source, () => settings.value.get().refreshInterval * 1000);
    let log: string | null = null;
    link.state.watch((state) => {
      if (state.kind !== 'live') return; // it asks less and less often by itself, and goes on when it is answered
      if (state.log === log) made.wake();
      else made.start();
      log = state.log;
    }, forever);
    if (notebooks) NotebookActions.executed.connect(() => made.wake(AFTER_CELL_MS));
    return made;
  },
};
