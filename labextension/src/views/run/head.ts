// Who and what a run is, how it stands, and what can be done with it.

import { Refusal } from '../../sources/source.ts';
import { Unreachable } from '../../sources/transport.ts';
import { Value } from '../../sources/value.ts';
import { h, setText } from '../dom.ts';
import { absolute, duration, relative } from '../format.ts';
import { copy, download } from '../host.ts';
import { type RunState, ended, failed } from '../store.ts';
import type { Draw, RunContext } from './context.ts';
import { menu } from './menu.ts';
import { t, tn } from '../words.ts';

export interface HeadOptions {
  rerun: () => void;
  /** Show the runs that this one has started. */
  family: () => void;
}

/** Why acting is off, where it is: told beside the controls and in the foot. */
export class Acting {
  readonly reason: Value<string | null>;

  constructor(reason: string | null = null) {
    this.reason = new Value(reason);
  }

  /** What an error of an action says, and whether it would be the same for every action. */
  take(error: unknown): string {
    const text = error instanceof Unreachable ? t('nothing answers at the moment') : error instanceof Error ? error.message : String(error);
    if (error instanceof Refusal && (error.kind === 'cluster' || error.problem.status === 403)) this.reason.set(text);
    return text;
  }
}

export function head(parent: HTMLElement, context: RunContext, acting: Acting, { rerun, family }: HeadOptions): Draw {
  const { store, runId, host } = context;
  const status = h('span', { class: 'kl-status', role: 'status' });
  const place = h('span', { class: 'kl-muted kl-run-place' });
  const flow = h('strong', { class: 'kl-run-flow' });
  const time = h('span', { class: 'kl-run-time' });
  const attempt = h('span', { class: 'kl-muted' });
  const why = h('div', { class: 'kl-run-why' });
  const said = h('span', { class: 'kl-visually-hidden', role: 'status' });
  const id = h('button', { type: 'button', class: 'kl-link kl-mono kl-run-id', title: t('%1 (click to copy)', runId), 'aria-label': t('%1, copy the whole id', runId.slice(-8)), text: runId.slice(-8) });
  const user = h('span');
  const started = h('time');
  const children = h('button', { type: 'button', class: 'kl-link', hidden: true, onclick: family });
  const cancel = cancelling(context, acting);
  const again = h('button', { type: 'button', class: 'kl-btn', text: t('Rerun …'), onclick: rerun });

  const copied = async (text: string, what: string): Promise<void> => {
    const done = await copy(text);
    setText(said, done ? t('%1 copied', what) : t('%1 cannot be copied', what));
    setText(id, done ? t('copied') : t('no copy'));
    setTimeout(() => setText(id, runId.slice(-8)), 1200);
  };
  id.addEventListener('click', () => void copied(runId, t('id')));
  const code = `kl.run("${runId}")`;
  const more = menu(t('More actions'), '⋯', [
    { label: t('Copy id'), run: () => void copied(runId, t('id')) },
    { label: t('Copy Python'), run: () => void copied(code, 'Python') },
    ...(host.insertCode ? [{ label: t('Insert Python'), run: () => host.insertCode?.(code) }] : []),
    ...(context.source.readOnly === null ? [{ label: t('Export run'), run: () => void exported(context, said) }] : []),
    ...(context.source.downloads
      ? [
          { label: t('Download events (NDJSON)'), run: () => void save(context, 'application/x-ndjson', 'ndjson', said) },
          { label: t('Download events (CSV)'), run: () => void save(context, 'text/csv', 'csv', said) },
        ]
      : []),
  ]);
  parent.append(
    h(
      'header', { class: 'kl-run-head' },
      h('div', { class: 'kl-run-title' }, status, place, flow, time, attempt),
      h('div', { class: 'kl-run-actions' }, cancel.element, again, more),
      h('div', { class: 'kl-run-about' }, id, user, started, children, said),
    ),
    why,
  );

  return () => {
    const { state } = store;
    const { row } = state;
    setText(status, state.cancelling ? t('cancelling') : t(state.status));
    status.dataset['status'] = state.status;
    setText(place, state.status === 'starting' && row?.place ? t('place %1 in the queue', row.place) : '');
    setText(flow, row?.flow ?? '');
    flow.title = row ? [row.summary, row.entrypoint].filter(Boolean).join('\n') : '';
    setText(time, elapsed(state, store.now()));
    setText(attempt, state.attempt > 1 ? t('attempt %1', state.attempt) : '');
    attempt.title = state.attempts.at(-1)?.reason ?? '';
    setText(why, reason(state));
    why.dataset['bad'] = String(failed(state) && state.status !== 'cancelled');
    setText(user, row?.user ?? '');
    if (state.started !== null) {
      setText(started, relative(state.started, Math.max(Date.now(), state.started)));
      started.title = absolute(state.started);
      started.dateTime = new Date(state.started).toISOString();
    }
    children.hidden = state.children === 0;
    setText(children, tn('%1 child run', '%1 child runs', state.children));
    cancel.draw();
    again.disabled = acting.reason.get() !== null;
    again.title = acting.reason.get() ?? '';
  };
}

/** What is worth saying of the reason: a question is below it, and a finished run needs none. */
function reason(state: RunState): string {
  if (state.status === 'finished' || (state.status === 'awaiting' && state.locks.size > 0)) return '';
  return state.reason;
}

/** How long it has been running, or waiting: whole seconds while they pass. */
export function elapsed(state: RunState, now: number): string {
  const from = state.running ?? state.started;
  if (from === null) return '';
  if (state.ended !== null) return duration((state.ended - from) / 1000);
  const seconds = Math.max(0, Math.floor((now - from) / 1000));
  return seconds < 60 ? `${seconds} s` : duration(seconds);
}

interface Part {
  element: HTMLElement;
  draw: Draw;
}

/** Asks before it acts, in the place where it was pressed. */
function cancelling({ store, source, runId }: RunContext, acting: Acting): Part {
  const begin = h('button', { type: 'button', class: 'kl-btn', text: t('Cancel') });
  const yes = h('button', { type: 'button', class: 'kl-btn kl-danger', text: t('Cancel run') });
  const no = h('button', { type: 'button', class: 'kl-btn', text: t('Keep') });
  const ask = h('span', { class: 'kl-run-ask', role: 'group', 'aria-label': t('Cancel this run?') }, yes, no);
  const wrong = h('span', { class: 'kl-run-wrong', role: 'alert' });
  const element = h('span', { class: 'kl-run-cancel' }, begin, ask, wrong);
  let asking = false;
  let sent = false;

  const draw = (): void => {
    const { state } = store;
    const over = ended(state);
    if (over) asking = false;
    begin.hidden = over || asking;
    ask.hidden = over || !asking;
    const busy = sent || state.cancelling !== null;
    begin.disabled = busy || acting.reason.get() !== null;
    begin.title = acting.reason.get() ?? '';
    setText(begin, busy ? t('Cancelling …') : t('Cancel'));
    if (over) setText(wrong, '');
  };
  const turn = (on: boolean): void => {
    asking = on;
    draw();
    (on ? yes : begin).focus();
  };
  const act = async (): Promise<void> => {
    sent = true;
    setText(wrong, '');
    turn(false);
    try {
      await source.cancel(runId);
    } catch (error) {
      sent = false;
      setText(wrong, t('Not cancelled: %1', acting.take(error)));
    }
    draw();
  };
  begin.addEventListener('click', () => turn(true));
  no.addEventListener('click', () => turn(false));
  yes.addEventListener('click', () => void act());
  ask.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape') return;
    event.stopPropagation();
    turn(false);
  });
  return { element, draw };
}

async function save({ source, runId, signal, host }: RunContext, type: string, ending: string, said: HTMLElement): Promise<void> {
  setText(said, t('Downloading events …'));
  try {
    download(`${runId}.${ending}`, await source.export(runId, type, signal));
    setText(said, t('Events downloaded'));
  } catch (error) {
    const text = t('The events cannot be downloaded: %1', error instanceof Error ? error.message : String(error));
    setText(said, text);
    host.notify?.(text, 'error');
  }
}

async function exported({ source, runId, signal, host }: RunContext, said: HTMLElement): Promise<void> {
  setText(said, t('Exporting the run …'));
  try {
    if (host.exportRun) await host.exportRun(runId);
    else {
      const { name, content } = await source.exportRun(runId, signal);
      download(name, content);
    }
    setText(said, t('Run exported'));
  } catch (error) {
    const text = t('The run cannot be exported: %1', error instanceof Error ? error.message : String(error));
    setText(said, text);
    host.notify?.(text, 'error');
  }
}

export const HEAD_CSS = `
.kl .kl-run-head { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 2px 12px; align-items: start; }
.kl .kl-run-title { display: flex; flex-wrap: wrap; gap: 2px 12px; align-items: baseline; min-height: 26px; align-content: center; }
.kl .kl-run-title > :empty { display: none; }
.kl .kl-run-flow { overflow-wrap: anywhere; font-size: 1.08em; }
.kl .kl-run-time { font-variant-numeric: tabular-nums; min-width: 4.5ch; }
.kl .kl-run-actions { display: flex; flex-wrap: wrap; gap: 6px; justify-content: flex-end; }
.kl .kl-run-cancel, .kl .kl-run-ask { display: inline-flex; flex-wrap: wrap; gap: 6px; align-items: center; justify-content: flex-end; }
.kl .kl-run-cancel:not(:has(> :not([hidden]):not(:empty))) { display: none; }
.kl button.kl-btn.kl-danger { border-color: var(--kl-bad); color: var(--kl-bad); font-weight: 600; }
.kl .kl-run-wrong { color: var(--kl-bad); }
.kl .kl-run-wrong:empty { display: none; }
.kl .kl-run-about { grid-column: 1 / -1; display: flex; flex-wrap: wrap; gap: 2px 14px; color: var(--kl-fg2); font-size: .92em; }
.kl .kl-run-about > :empty { display: none; }
.kl button.kl-link.kl-run-id { min-width: 8ch; font-size: 1em; }
.kl .kl-run-why { color: var(--kl-fg2); overflow-wrap: anywhere; }
.kl .kl-run-why[data-bad=true] { color: var(--kl-bad); }
.kl .kl-run-why:empty { display: none; }
`;
