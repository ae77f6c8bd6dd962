// What is shown in place of data while the gateway is not there, with what to do about it.

import type { TranslationBundle } from '@jupyterlab/translation';
import type { Link, LinkState } from '../sources/link.ts';
import { fill, h } from '../views/dom.ts';
import { copy } from '../views/host.ts';
import { root } from '../views/theme.ts';

interface Told {
  title: string;
  text: string;
  /** Commands for a terminal, with what each does. */
  commands: [string, string][];
}

/** Words for a state of the link. */
export function wordsOf(state: LinkState, trans: TranslationBundle): Told {
  const up: [string, string] = ['kodosumi-lab up', trans.__('starts Ray in the background, so that flows can be launched')];
  const doctor: [string, string] = ['kodosumi-lab doctor', trans.__('says what is missing')];
  switch (state.kind) {
    case 'off':
      return { title: trans.__('Not connected'), text: trans.__('JupyterLab has not looked for a gateway yet.'), commands: [] };
    case 'connecting':
      return { title: trans.__('Connecting…'), text: trans.__('The first time, the gateway has to start.'), commands: [] };
    case 'absent':
      return {
        title: trans.__('Not connected'),
        text: trans.__('This Jupyter server has no gateway. Install Kodosumi Lab in the environment that the server runs in, and start the server again.'),
        commands: [['pip install kodosumi-lab', trans.__('in the environment of the Jupyter server')], doctor],
      };
    case 'denied':
      return { title: trans.__('Not connected'), text: trans.__('Your session has ended: reload the page to sign in again.'), commands: [] };
    default:
      return {
        title: trans.__('Not connected'),
        text: trans.__('The gateway of this Jupyter server does not answer. It is tried again by itself, and this goes on where it was.'),
        commands: [up, doctor],
      };
  }
}

/** Draw it, and keep it right, until the signal is aborted. */
export function mountNotice(parent: HTMLElement, link: Link, trans: TranslationBundle, signal: AbortSignal): void {
  const element = root(parent, NOTICE_CSS, signal);
  element.classList.add('kl-notice');
  element.setAttribute('role', 'status');
  link.state.watch((state) => {
    const told = wordsOf(state, trans);
    const again = h('button', { type: 'button', class: 'kl-btn', text: state.kind === 'off' ? trans.__('Connect') : trans.__('Try again') });
    again.addEventListener('click', () => link.retry());
    const commands = told.commands.map(([code, text]) => {
      const button = h('button', { type: 'button', class: 'kl-link', text: trans.__('Copy'), 'aria-label': trans.__('Copy %1', code) });
      button.addEventListener('click', () => void copy(code));
      return h('li', {}, h('code', { class: 'kl-mono', text: code }), ' ', button, h('div', { class: 'kl-muted', text }));
    });
    const detail = 'detail' in state && state.kind !== 'absent' ? h('details', {}, h('summary', { text: trans.__('What was tried') }), h('code', { class: 'kl-mono', text: state.detail })) : null;
    fill(
      element,
      h('strong', { text: told.title }),
      h('p', { text: told.text }),
      commands.length > 0 && h('ul', {}, ...commands),
      state.kind !== 'connecting' && h('div', { class: 'kl-row' }, again),
      detail,
    );
  }, signal);
}

const NOTICE_CSS = `
/* the sidebar's header, where it may lie, is in capitals */
.kl.kl-notice { padding: 12px; max-width: 46em; overflow-wrap: anywhere; text-transform: none; letter-spacing: normal; font-weight: 400; }
.kl.kl-notice p { margin: 6px 0 10px; }
.kl.kl-notice ul { list-style: none; margin: 0 0 12px; padding: 0; display: flex; flex-direction: column; gap: 8px; }
.kl.kl-notice li > code { background: var(--kl-bg2); padding: 2px 6px; border-radius: 3px; }
.kl.kl-notice details { margin-block-start: 10px; color: var(--kl-fg2); }
`;
