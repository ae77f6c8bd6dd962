// A file with runs: its only one, or a list of them, from which one is opened in its place.

import type { Source } from '../sources/source.ts';
import { Value } from '../sources/value.ts';
import { fill, h } from './dom.ts';
import { bytes, plural } from './format.ts';
import type { Host } from './host.ts';
import { RUN_CSS, mountRun } from './run.ts';
import { RUNS_CSS, mountRuns } from './runs.ts';
import { t } from './words.ts';

export interface SavedFile {
  name: string;
  nbytes: number;
  runs: number;
  run_id: string | null;
}

/** Show the runs of a file; `source` has them and no others. */
export function mountSaved(parent: HTMLElement, source: Source, file: SavedFile, signal: AbortSignal, host: Host): void {
  const about = `${file.name} · ${bytes(file.nbytes)} · ${plural(file.runs, 'run')}`;
  const head = h('div', { class: 'kl-row kl-saved-head' });
  const body = h('div', { class: 'kl-saved-body' });
  const view = h('section', { class: 'kl-saved', 'aria-label': t('Runs of %1', file.name) }, head, body);
  parent.append(view);
  signal.addEventListener('abort', () => view.remove(), { once: true });
  // whoever opens a run means the file's, wherever the host's own would come from
  const here: Host = { ...host, openRun: undefined, insertCode: undefined };
  const query = new Value({});
  let shown = new AbortController();

  const begin = (...above: HTMLElement[]): AbortSignal => {
    shown.abort();
    shown = new AbortController();
    fill(head, ...above, h('span', { class: 'kl-muted', text: about }));
    fill(body);
    return AbortSignal.any([signal, shown.signal]);
  };
  const list = (): void => mountRuns(body, source, { query }, begin(), { ...here, openRun: open });
  const open = (runId: string): void => {
    const back = h('button', { type: 'button', class: 'kl-link', text: t('‹ all runs of the file'), onclick: list });
    mountRun(body, source, runId, {}, begin(...(file.runs > 1 ? [back] : [])), here);
    if (file.runs > 1) back.focus();
  };
  if (file.runs === 0) {
    begin();
    body.append(h('div', { class: 'kl-empty', text: t('This file has no events.') }));
  } else if (file.run_id !== null) open(file.run_id);
  else list();
}

export const SAVED_CSS = RUN_CSS + RUNS_CSS + `
.kl .kl-saved { height: 100%; display: flex; flex-direction: column; gap: 6px; }
.kl .kl-saved-head { flex: none; flex-wrap: wrap; }
.kl .kl-saved-body { flex: 1 1 auto; min-height: 0; }
`;
