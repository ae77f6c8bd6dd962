// Toasts when a watched run finishes, fails or asks.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { ITranslator, type TranslationBundle, nullTranslator } from '@jupyterlab/translation';
import { type Change, Changes } from '../sources/changes.ts';
import { duration } from '../views/format.ts';
import { Commands } from './names.ts';
import { IConnection, IFeed, ISettings, IWatched } from './tokens.ts';

const forever = new AbortController().signal;
const SHOWN_MS = 8000;
/** More at once say only how many. */
const EACH = 4;

export const notifications: JupyterFrontEndPlugin<void> = {
  id: 'kodosumi-lab:notifications',
  description: 'Toasts when a watched run finishes, fails or asks.',
  autoStart: true,
  requires: [IConnection, IFeed, ISettings, IWatched],
  optional: [ITranslator],
  activate: (app: JupyterFrontEnd, link: IConnection, feed: IFeed, settings: ISettings, watched: IWatched, translator: ITranslator | null) => {
    const trans = (translator ?? nullTranslator).load('kodosumi_lab');
    const changes = new Changes((runId) => link.source.run(runId));
    let looking = Promise.resolve();
    feed.now.watch((now) => {
      if (now === null) return;
      const { notifyAbout, notifyOn } = settings.value.get();
      looking = looking.then(async () => {
        const found = await changes.look(now, notifyAbout === 'all' ? null : watched.ids.get());
        tell(app, found.filter(({ what }) => notifyOn.includes(what)), trans);
      });
    }, forever);
  },
};

function tell(app: JupyterFrontEnd, changes: Change[], trans: TranslationBundle): void {
  for (const change of changes.slice(0, EACH)) tellOne(app, change, trans);
  const more = changes.length - EACH;
  if (more > 0) Notification.info(trans._n('%1 more run has news', '%1 more runs have news', more), { autoClose: SHOWN_MS, actions: [action(app, trans.__('Show Runs'), Commands.openRuns, {})] });
}

function tellOne(app: JupyterFrontEnd, { what, runId, row, lock }: Change, trans: TranslationBundle): void {
  const open = action(app, trans.__('Open Run'), Commands.openRun, { runId });
  if (what === 'asks') {
    const answer = action(app, trans.__('Answer'), Commands.openInbox, {});
    Notification.warning(trans.__('%1 asks: %2', lock?.flow ?? '', lock?.name ?? trans.__('a question')), { autoClose: false, actions: [open, answer] });
  } else if (what === 'finished') {
    Notification.success(trans.__('%1 has finished after %2', row?.flow ?? '', duration(row?.active_s ?? 0)), { autoClose: SHOWN_MS, actions: [open] });
  } else {
    const why = (row?.error ?? row?.reason ?? '').slice(0, 90);
    Notification.error(trans.__('%1 has failed: %2', row?.flow ?? '', why === '' ? (row?.status ?? '') : why), { autoClose: false, actions: [open] });
  }
}

function action(app: JupyterFrontEnd, label: string, command: string, args: Record<string, string>): Notification.IAction {
  return { label, callback: () => void app.commands.execute(command, args) };
}
