// The item in the status bar: whether the gateway is there, how many runs are open, how many questions wait.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, type TranslationBundle, nullTranslator } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';
import type { Now } from '../sources/feed.ts';
import type { LinkState } from '../sources/link.ts';
import { h, setText } from '../views/dom.ts';
import { count } from '../views/format.ts';
import { kodosumiIcon } from './icons.ts';
import { Commands } from './names.ts';
import { wordsOf } from './notice.ts';
import { IConnection, IFeed } from './tokens.ts';

const forever = new AbortController().signal;

export const status: JupyterFrontEndPlugin<void> = {
  id: 'kodosumi-lab:status',
  description: 'Connection, open runs and waiting questions in the status bar.',
  autoStart: true,
  requires: [IConnection, IFeed],
  optional: [IStatusBar, ITranslator],
  activate: (app: JupyterFrontEnd, link: IConnection, feed: IFeed, bar: IStatusBar | null, translator: ITranslator | null) => {
    if (!bar) return;
    const trans = (translator ?? nullTranslator).load('kodosumi_lab');
    const text = h('span', {});
    const button = h('button', { type: 'button', class: 'kl-lab-status' });
    kodosumiIcon.element({ container: button, tag: 'span', stylesheet: 'statusBar' });
    button.append(text);
    button.addEventListener('click', () => {
      const waits = (feed.now.get()?.locks.length ?? 0) > 0;
      void app.commands.execute(waits && link.live ? Commands.openInbox : Commands.showSidebar);
    });
    const item = new Widget();
    item.addClass('kl-lab-statusitem');
    item.node.append(button);
    bar.registerStatusItem('kodosumi-lab:status', { item, align: 'left', rank: 50 });

    const update = (): void => {
      const [state, now] = [link.state.get(), feed.now.get()];
      setText(text, shortly(state, now, trans));
      button.title = inFull(state, now, trans);
      button.setAttribute('aria-label', `Kodosumi: ${button.title}`);
      button.dataset['state'] = state.kind;
      button.dataset['waiting'] = String((now?.locks.length ?? 0) > 0);
    };
    link.state.watch(update, forever);
    feed.now.watch(update, forever);
  },
};

function shortly(state: LinkState, now: Now | null, trans: TranslationBundle): string {
  if (state.kind === 'connecting') return trans.__('connecting…');
  if (state.kind !== 'live') return trans.__('not connected');
  const parts = [];
  if (now && now.total > 0) parts.push(trans.__('%1 open', count(now.total)));
  if (now && now.locks.length > 0) parts.push(trans.__('%1 waiting', count(now.locks.length)));
  return parts.join(' · ');
}

function inFull(state: LinkState, now: Now | null, trans: TranslationBundle): string {
  if (state.kind !== 'live') return wordsOf(state, trans).text;
  const [runs, locks] = [now?.total ?? 0, now?.locks.length ?? 0];
  const told = [trans._n('%1 run is open', '%1 runs are open', runs), trans._n('%1 question waits for an answer', '%1 questions wait for an answer', locks)];
  return `${told.join(', ')} (kodosumi-lab ${state.version})`;
}
