// The files of a run: those it was given and those it delivered.

import { aborted } from '../../sources/transport.ts';
import type { FileInfo } from '../../sources/source.ts';
import { fill, h } from '../dom.ts';
import { absolute, bytes, plural, relative } from '../format.ts';
import { download } from '../host.ts';
import type { Draw, RunContext } from './context.ts';
import { t } from '../words.ts';

export function files(panel: HTMLElement, context: RunContext): Draw {
  const { store, source, runId, signal } = context;
  const place = h('div', { class: 'kl-files' }, h('div', { class: 'kl-empty', text: t('Loading …') }));
  panel.append(place);
  let asked = -1;

  const load = async (): Promise<void> => {
    try {
      const [given, delivered] = await Promise.all([source.files(runId, 'in', signal), source.files(runId, 'out', signal)]);
      fill(place, section(t('Delivered'), delivered, context), section(t('Given'), given, context));
      if (given.length + delivered.length === 0) fill(place, h('div', { class: 'kl-empty', text: t('The files of this run are not there any more.') }));
    } catch (error) {
      if (aborted(error) || signal.aborted) return;
      fill(
        place, h('div', { class: 'kl-problem', role: 'alert', text: error instanceof Error ? error.message : String(error) }),
        h('button', { type: 'button', class: 'kl-btn', text: t('Try again'), onclick: () => void load() }),
      );
    }
  };
  return () => {
    // the log tells of each file once it is there
    if (store.state.files.size === asked) return;
    asked = store.state.files.size;
    void load();
  };
}

function section(title: string, list: FileInfo[], context: RunContext): HTMLElement | null {
  if (list.length === 0) return null;
  const rows = list.map((file) => {
    const name = file.path.replace(/^(in|out)\//, '');
    const at = file.last_modified * 1000;
    const told = h('span', { class: 'kl-muted', role: 'status' });
    const button = file.left_out === undefined
      ? h('button', { type: 'button', class: 'kl-link', text: name, title: t('Download %1', name), onclick: () => void get(file, told, context) })
      : h('span', {}, name, ' ', h('span', { class: 'kl-muted', text: t('not in this file: %1', file.left_out) }));
    return h('tr', {}, h('td', { class: 'kl-file-name' }, button, ' ', told), h('td', { class: 'kl-number', text: bytes(file.size) }), h('td', { class: 'kl-muted', title: absolute(at), text: relative(at) }));
  });
  const total = bytes(list.reduce((sum, file) => sum + file.size, 0));
  const head = h('tr', {}, ...[t('Name'), t('Size'), t('Changed')].map((text) => h('th', { scope: 'col', class: 'kl-visually-hidden', text })));
  return h(
    'table', { class: 'kl-files-table' },
    h('caption', {}, h('strong', { text: title }), h('span', { class: 'kl-muted', text: ` ${plural(list.length, 'file')}, ${total}` })),
    h('thead', {}, head), h('tbody', {}, ...rows),
  );
}

async function get(file: FileInfo, told: HTMLElement, { source, runId, signal }: RunContext): Promise<void> {
  told.textContent = t('loading …');
  try {
    download(file.path.split('/').pop() ?? file.path, await source.file(runId, file.path, signal));
    told.textContent = '';
  } catch (error) {
    if (!aborted(error)) told.textContent = error instanceof Error ? error.message : String(error);
  }
}

export const FILES_CSS = `
.kl .kl-files { padding: 6px 0; }
.kl .kl-files-table { width: 100%; border-collapse: collapse; margin-bottom: 12px; }
.kl .kl-files-table caption { text-align: start; padding-bottom: 3px; }
.kl .kl-files-table td { padding: 4px 10px 4px 0; border-top: 1px solid color-mix(in srgb, var(--kl-border) 60%, transparent); white-space: nowrap; }
.kl .kl-files-table .kl-file-name { width: 100%; white-space: normal; overflow-wrap: anywhere; }
.kl .kl-files-table .kl-number { text-align: end; font-variant-numeric: tabular-nums; }
`;
