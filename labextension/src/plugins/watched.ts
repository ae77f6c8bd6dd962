// Runs whose end or question is told: those launched here, those opened in a tab, those that somebody asked for.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IStateDB } from '@jupyterlab/statedb';
import { Value } from '../sources/value.ts';
import { IWatched } from './tokens.ts';

const KEY = 'kodosumi-lab:watched';
/** The oldest are forgotten: they have ended long ago, or their log is another one. */
const MOST = 200;

export const watched: JupyterFrontEndPlugin<IWatched> = {
  id: 'kodosumi-lab:watched',
  description: 'Runs whose end or question is told in a toast.',
  autoStart: true,
  provides: IWatched,
  optional: [IStateDB],
  activate: (app: JupyterFrontEnd, state: IStateDB | null): IWatched => {
    const ids = new Value<ReadonlySet<string>>(new Set());
    const set = (next: Iterable<string>): void => {
      ids.set(new Set([...next].slice(-MOST)));
      void state?.save(KEY, [...ids.get()]);
    };
    void app.restored
      .then(() => state?.fetch(KEY))
      .then((kept) => Array.isArray(kept) && ids.set(new Set([...(kept as string[]), ...ids.get()])));
    return {
      ids,
      add: (runId) => {
        if (!ids.get().has(runId)) set([...ids.get(), runId]);
      },
      toggle: (runId) => {
        if (ids.get().has(runId)) set([...ids.get()].filter((one) => one !== runId));
        else set([...ids.get(), runId]);
      },
    };
  },
};
