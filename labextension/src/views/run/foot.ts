// Whether everything is here, and how the connection is.

import { h, setText } from '../dom.ts';
import { clock, count, plural } from '../format.ts';
import { type RunState, ended } from '../store.ts';
import type { Draw, RunContext } from './context.ts';
import type { Acting } from './head.ts';
import { t } from '../words.ts';

/** A connection that is lost for longer is said to be so; before, it is being taken up again. */
const PATIENCE_MS = 6_000;

export function foot(parent: HTMLElement, { store, source, signal }: RunContext, acting: Acting): Draw {
  const whole = h('span', { class: 'kl-run-whole' });
  const off = h('span', { class: 'kl-run-off' });
  const again = h('button', { type: 'button', class: 'kl-link', text: t('Try again'), onclick: () => acting.reason.set(null) });
  const live = h('span', { class: 'kl-run-live', role: 'status' });
  parent.append(h('footer', { class: 'kl-run-foot' }, whole, h('span', { class: 'kl-grow' }), off, again, live));
  let lostAt: number | null = null;

  const draw = (): void => {
    const connection = source.connection.get();
    if (connection !== 'lost') lostAt = null;
    else lostAt ??= Date.now();
    setText(whole, wholeness(store.state));
    whole.dataset['missing'] = String(store.state.gaps.length > 0);
    setText(off, acting.reason.get() === null ? '' : t('Cancel and Rerun are off: %1', acting.reason.get() ?? ''));
    again.hidden = acting.reason.get() === null || source.readOnly !== null;
    const over = ended(store.state) && store.over;
    const text = connection === 'lost' ? lost(lostAt!, source.away) : over ? '' : connection === 'connecting' ? t('connecting …') : store.paused ? t('paused') : source.readOnly === null ? t('live') : '';
    setText(live, text);
    live.dataset['connection'] = connection === 'live' && store.paused ? 'paused' : connection;
  };
  source.connection.watch(draw, signal);
  return draw;
}

function lost(since: number, who: string): string {
  const asOf = t('as of %1', clock(since).slice(0, 5));
  if (who !== '') return t('%1 – %2 does not answer, trying again', asOf, t(who));
  return Date.now() - since < PATIENCE_MS ? t('%1, reconnecting …', asOf) : t('%1 – not reachable, trying again', asOf);
}

/** `complete · 1,234 events`, or what is missing. */
export function wholeness(state: RunState): string {
  const events = plural(state.events, 'event');
  if (state.gaps.length > 0) {
    const ranges = state.gaps.slice(0, 3).map(({ from, to }) => (from === to ? count(from) : `${count(from)}–${count(to)}`));
    const rest = state.gaps.length > 3 ? t(' and %1 more ranges', state.gaps.length - 3) : '';
    return t('missing: seq %1 · %2', ranges.join(', ') + rest, events);
  }
  return ended(state) && state.checked ? t('complete · %1', events) : events;
}

export const FOOT_CSS = `
.kl .kl-run-foot { display: flex; flex-wrap: wrap; gap: 2px 12px; align-items: center; min-height: 22px; padding-top: 4px; border-top: 1px solid var(--kl-border);
  color: var(--kl-fg2); font-size: .9em; font-variant-numeric: tabular-nums; }
.kl .kl-run-whole[data-missing=true] { color: var(--kl-bad); font-weight: 600; }
.kl .kl-run-off:empty, .kl .kl-run-live:empty { display: none; }
.kl .kl-run-live::before { content: ''; display: inline-block; width: 7px; height: 7px; border-radius: 50%; margin-inline-end: 6px; background: var(--kl-idle); }
.kl .kl-run-live[data-connection=live]::before { background: var(--kl-ok); }
.kl .kl-run-live[data-connection=lost] { color: var(--kl-warn); }
.kl .kl-run-live[data-connection=lost]::before { background: var(--kl-warn); }
`;
