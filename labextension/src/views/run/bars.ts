// Progress: the run's own bar, always in its place while the run is open, and under it those of parts and agents.

import { fill, h, setText } from '../dom.ts';
import { duration } from '../format.ts';
import { type Bar, ended, failed } from '../store.ts';
import type { Draw, RunContext } from './context.ts';
import { t } from '../words.ts';

/** Further bars that are shown without asking. */
const FEW = 5;

/** How far a bar is, 0 to 1; null where its end is not known. */
export function share(bar: Bar): number | null {
  return bar.total ? Math.min(1, Math.max(0, bar.value / bar.total)) : null;
}

/** Seconds that are left at the pace so far; null while that is a guess. */
export function left(bar: Bar, now: number): number | null {
  const at = share(bar);
  const passed = (Math.max(now, bar.ts) - bar.since) / 1000;
  if (at === null || at >= 1 || bar.total === null || passed < 3) return null;
  const pace = (bar.value - bar.first) / ((bar.ts - bar.since) / 1000);
  if (!(pace > 0)) return null;
  return Math.max(0, (bar.total - bar.value) / pace - (now - bar.ts) / 1000);
}

export function bars(parent: HTMLElement, { store }: RunContext): Draw {
  const own = new Meter('kl-meter-own');
  const others = h('div', { class: 'kl-meters' });
  const rest = h('button', { type: 'button', class: 'kl-link kl-meters-rest', onclick: () => toggle() });
  const box = h('div', { class: 'kl-progress' }, own.element, others, rest);
  box.hidden = true;
  parent.append(box);
  const meters = new Map<string, Meter>();
  let open = false;
  let seenOpen = false;

  const toggle = (): void => {
    open = !open;
    draw();
  };

  const draw = (): void => {
    const { state } = store;
    seenOpen ||= !ended(state);
    // once it was seen while the run was open it stays, so that nothing jumps at the end
    box.hidden = !seenOpen || (state.bars.size === 0 && (ended(state) || state.status === 'awaiting'));
    if (box.hidden) return;
    const all = [...state.bars.values()];
    const main = all.find((bar) => bar.name === null && bar.agent === null) ?? null;
    const over = ended(state) ? (failed(state) ? 'bad' : 'ok') : null;
    own.show(main, over, t('Progress'), store.now());
    const further = all.filter((bar) => bar !== main);
    const shown = open || further.length <= FEW ? further : few(further);
    const keys = new Set(shown.map((bar) => bar.key));
    for (const [key, meter] of meters) {
      if (keys.has(key)) continue;
      meter.element.remove();
      meters.delete(key);
    }
    for (const [i, bar] of shown.entries()) {
      let meter = meters.get(bar.key);
      if (!meter) meters.set(bar.key, (meter = new Meter('kl-meter-part')));
      if (others.children[i] !== meter.element) others.insertBefore(meter.element, others.children[i] ?? null);
      meter.show(bar, over, bar.name ?? 'progress', store.now());
    }
    rest.hidden = further.length <= FEW;
    const done = further.filter((bar) => share(bar) === 1).length;
    setText(rest, open ? t('Show fewer') : t('%1 more · %2 of %3 done', further.length - shown.length, done, further.length));
  };
  return draw;
}

/** Those at work, first come first; then those that moved last. */
function few(all: Bar[]): Bar[] {
  const active = all.filter((bar) => share(bar) !== 1);
  if (active.length >= FEW) return active.slice(0, FEW);
  const done = all.filter((bar) => share(bar) === 1).sort((a, b) => b.ts - a.ts).slice(0, FEW - active.length);
  return all.filter((bar) => active.includes(bar) || done.includes(bar));
}

class Meter {
  private readonly label = h('span', { class: 'kl-meter-label' });
  private readonly numbers = h('span', { class: 'kl-meter-numbers' });
  private readonly done = h('span', { class: 'kl-meter-done' });
  private readonly track = h('span', { class: 'kl-meter-track', role: 'progressbar', 'aria-valuemin': 0, 'aria-valuemax': 100 }, this.done);
  readonly element: HTMLElement;

  constructor(kind: string) {
    this.element = h('div', { class: `kl-meter ${kind}` }, this.label, this.numbers, this.track);
  }

  show(bar: Bar | null, over: 'ok' | 'bad' | null, name: string, now: number): void {
    const at = bar && share(bar);
    const title = bar?.agent ? (bar.name === null ? bar.agent : `${bar.agent} · ${name}`) : name;
    this.track.setAttribute('aria-label', title);
    if (bar && (bar.name !== null || bar.agent !== null)) {
      fill(this.label, h('span', { text: title }), bar.label ? h('span', { class: 'kl-muted', text: bar.label }) : null);
    } else setText(this.label, bar?.label ?? '');
    setText(this.numbers, bar ? numbers(bar, over === null ? left(bar, now) : null) : '');
    const idle = at === null && over === null;
    this.track.classList.toggle('kl-meter-idle', idle);
    if (over === null) delete this.element.dataset['over'];
    else this.element.dataset['over'] = over;
    if (at === null) this.track.removeAttribute('aria-valuenow');
    else this.track.setAttribute('aria-valuenow', String(Math.round(at * 100)));
    this.done.style.width = idle ? '' : `${(at ?? (over === 'ok' ? 1 : 0)) * 100}%`;
  }
}

function numbers(bar: Bar, seconds: number | null): string {
  const at = share(bar);
  const parts = [];
  const short = (n: number): string => (Number.isInteger(n) ? n.toLocaleString('en') : String(Number(n.toPrecision(4))));
  if (bar.total === null) parts.push(short(bar.value));
  else if (bar.total !== 1) parts.push(`${short(bar.value)} / ${short(bar.total)}`);
  if (at !== null) parts.push(`${Math.floor(at * 100)} %`);
  if (seconds !== null) parts.push(`~${duration(Math.max(1, Math.round(seconds))).replace('.0 s', ' s')} left`);
  return parts.join(' · ');
}

export const BARS_CSS = `
.kl .kl-progress { display: flex; flex-direction: column; gap: 4px; }
.kl .kl-meter { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 2px 12px; align-items: baseline; }
.kl .kl-meter-own { min-height: 26px; }
.kl .kl-meter-label { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; min-height: 1.45em; }
.kl .kl-meter-part .kl-meter-label { display: flex; gap: 8px; }
.kl .kl-meter-part .kl-meter-label > .kl-muted { overflow: hidden; text-overflow: ellipsis; }
.kl .kl-meter-numbers { color: var(--kl-fg2); font-variant-numeric: tabular-nums; white-space: nowrap; }
.kl .kl-meter-track { grid-column: 1 / -1; display: block; height: 5px; border-radius: 3px; overflow: hidden; background: color-mix(in srgb, var(--kl-fg) 13%, var(--kl-bg)); }
.kl .kl-meter-done { display: block; height: 100%; width: 0; border-radius: 3px; background: var(--kl-accent); }
.kl .kl-meter[data-over=ok] .kl-meter-done { background: var(--kl-ok); }
.kl .kl-meter[data-over=bad] .kl-meter-done { background: var(--kl-bad); }
.kl .kl-meter-idle .kl-meter-done { width: 30%; opacity: .55; }
.kl .kl-meters { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(260px, 100%), 1fr)); gap: 3px 18px; font-size: .92em; max-height: 132px; overflow: auto; }
.kl .kl-meters:empty { display: none; }
.kl .kl-meter-part .kl-meter-track { height: 3px; }
.kl .kl-meters-rest { align-self: flex-start; font-size: .92em; }
@media (prefers-reduced-motion: no-preference) {
  .kl .kl-meter-done { transition: width .15s linear; }
  .kl .kl-meter-idle .kl-meter-done { animation: kl-idle 1.8s ease-in-out infinite; }
  @keyframes kl-idle { 0% { transform: translateX(-100%); } 100% { transform: translateX(340%); } }
}
`;
