// What tabs show. Each view is loaded when it is first shown: JupyterLab's start waits for none of them.

import type { TranslationBundle } from '@jupyterlab/translation';
import { Refusal, type Source } from '../sources/source.ts';
import { Value } from '../sources/value.ts';
import { fill, h } from '../views/dom.ts';
import { THEME } from '../views/shell.ts';
import { root } from '../views/theme.ts';
import type { IHost } from './tokens.ts';

/** Start with the wait shown, in case the view has to be loaded first. */
function page(element: HTMLElement, css: string, signal: AbortSignal, name: string): HTMLElement {
  const made = root(element, css, signal);
  made.classList.add('kl-lab-page', `kl-lab-${name}`);
  return made;
}

export async function drawRun(
  element: HTMLElement, source: Source, signal: AbortSignal, host: IHost, options: { runId: string; compact?: boolean; titled?: (label: string) => void },
): Promise<void> {
  const { mountRun, RUN_CSS } = await import('../views/run.ts');
  if (signal.aborted) return;
  mountRun(page(element, RUN_CSS, signal, 'run'), source, options.runId, { compact: options.compact ?? false }, signal, host);
  if (!options.titled) return;
  const row = await source.run(options.runId, signal).catch(() => null); // the view itself says what is wrong
  if (row) options.titled(`${row.flow} ${options.runId.slice(-8)}`);
}

export async function drawForm(
  element: HTMLElement, source: Source, signal: AbortSignal, host: IHost, trans: TranslationBundle,
  options: { flow: string | undefined; rerun: string | undefined; launched: (runId: string) => void },
): Promise<void> {
  const { mountLaunch, LAUNCH_CSS } = await import('../views/launch.ts');
  const { mountForm } = await import('../views/form.ts');
  if (signal.aborted) return;
  const made = page(element, LAUNCH_CSS + FORM_HEAD_CSS, signal, 'form');
  const head = h('header', { class: 'kl-lab-head' });
  const body = h('div', {});
  made.append(head, body);
  const { flow, rerun, launched } = options;
  if (flow !== undefined) {
    fill(head, h('h2', { text: flow }));
    mountLaunch(body, source, flow, signal, { host, launched });
    const found = (await source.flows(flow, signal)).find((one) => one.name === flow);
    if (found) fill(head, h('h2', { text: found.summary || flow }), h('p', { class: 'kl-muted' }, h('code', { text: flow }), ' ', opening(found.description)));
    return;
  }
  const runId = rerun ?? '';
  const [row, elements] = await Promise.all([source.run(runId, signal), source.rerunForm(runId, signal)]);
  fill(head, h('h2', { text: trans.__('Run %1 again', row.flow) }), h('p', { class: 'kl-muted', text: trans.__('With the inputs of %1, as you change them here.', runId) }));
  mountForm(body, {
    elements, source, signal,
    submit: { label: trans.__('Launch'), run: async (values) => launched((await source.rerun(runId, values)).run_id) },
  });
}

/** The first paragraph of a docstring: the rest is for who reads the code. */
function opening(description: string): string {
  return description.trim().split(/\n\s*\n/)[0] ?? '';
}

export async function drawRuns(
  element: HTMLElement, source: Source, signal: AbortSignal, host: IHost, options: { search: string | undefined; cell: string | undefined },
): Promise<void> {
  const { mountRuns, RUNS_CSS } = await import('../views/runs.ts');
  if (signal.aborted) return;
  const { search, cell } = options;
  const query = new Value({ ...(search ? { search } : {}), ...(cell ? { cell } : {}) });
  mountRuns(page(element, RUNS_CSS, signal, 'runs'), source, { query, comparing: true }, signal, host);
}

/** Its runs open in tabs, where JupyterLab has them. */
export async function drawSweep(element: HTMLElement, source: Source, signal: AbortSignal, host: IHost, sweepId: string): Promise<void> {
  const { mountSweep, SWEEP_CSS } = await import('../views/sweep.ts');
  if (signal.aborted) return;
  mountSweep(page(element, SWEEP_CSS, signal, 'sweep'), source, { sweepId }, signal, host);
}

export async function drawInbox(
  element: HTMLElement, source: Source, signal: AbortSignal, host: IHost, options: { everyMs?: () => number } = {},
): Promise<void> {
  const { mountInbox, INBOX_CSS } = await import('../views/inbox.ts');
  if (signal.aborted) return;
  mountInbox(page(element, INBOX_CSS, signal, 'inbox'), source, signal, host, options);
}

/** A page of the gateway's own, in a frame. */
export async function drawDashboard(
  element: HTMLElement, source: Source, url: string, trans: TranslationBundle, signal: AbortSignal,
): Promise<void> {
  try {
    await source.raw({ method: 'GET', path: '/dashboard/', signal });
  } catch (error) {
    if (!(error instanceof Refusal) || error.problem.status !== 404) throw error;
    const made = page(element, '', signal, 'dashboard');
    const text = trans.__('This gateway serves no dashboard. The runs table and the sidebar show the same runs.');
    made.append(h('div', { class: 'kl-empty' }, h('p', { text })));
    return;
  }
  beginAs(document.body.dataset['jpThemeLight'] === 'false' ? 'dark' : 'light', url);
  const frame = h('iframe', { class: 'kl-lab-frame', src: url, title: trans.__('Dashboard of Kodosumi Lab') });
  element.append(frame);
  signal.addEventListener('abort', () => frame.remove(), { once: true });
}

/** Let the dashboard begin in JupyterLab's theme: as it keeps it itself (views/shell.ts), it is changed there by its own button. */
function beginAs(theme: 'light' | 'dark', url: string): void {
  try {
    localStorage.setItem(THEME, theme);
  } catch {
    return; // it begins as the system's
  }
  document.cookie = `${THEME}=${theme}; path=${new URL(url, location.href).pathname.replace(/\/$/, '')}; max-age=31536000; samesite=lax`;
}

const FORM_HEAD_CSS = `
.kl .kl-lab-head h2 { margin: 0 0 4px; font-size: 1.25em; }
.kl .kl-lab-head p { margin: 0 0 14px; }
`;
