// A run as it happened: a player, and below it the same view that a live run has.

import type { Source } from '../sources/source.ts';
import { aborted } from '../sources/transport.ts';
import { toggle } from './controls.ts';
import { coalesced, fill, h, setText, svg } from './dom.ts';
import type { Host } from './host.ts';
import { ReplaySource, SPEEDS } from './replay/source.ts';
import { RUN_CSS, mountRun } from './run.ts';
import { timeLabel } from './ticks.ts';
import { t } from './words.ts';

/** What an arrow key moves by. */
const STEP_MS = 5_000;
/** Dragging asks for another place at most this often. */
const DRAG_MS = 150;
/** Stretches of the picture of how much happened when. */
const BINS = 120;

export interface ReplayOptions {
  tab?: string | null;
  compact?: boolean;
  /** Begin to play at once. */
  play?: boolean;
  onTab?(tab: string): void;
}

/** A moment worth going to. */
interface Mark {
  at: number;
  words: string;
  status: string;
}

export function mountReplay(
  parent: HTMLElement, source: Source, runId: string, signal: AbortSignal, host: Host, options: ReplayOptions = {},
): void {
  const view = h('section', { class: 'kl-replay', 'aria-label': t('Replay') }, h('div', { class: 'kl-empty', role: 'status', text: t('Loading the run …') }));
  parent.append(view);
  signal.addEventListener('abort', () => view.remove(), { once: true });
  const open = async (): Promise<void> => {
    const replay = await ReplaySource.open(source, runId, signal);
    const marks = await marksOf(source, runId, replay.begin, signal);
    if (signal.aborted) return;
    if (replay.lastSeq < 0) {
      fill(view, h('div', { class: 'kl-empty', text: t('This run has no events yet.') }));
      return;
    }
    const player = new Player(replay, marks, signal);
    const below = h('div', { class: 'kl-replay-run' });
    fill(view, player.element, below);
    showRun(below, replay, runId, signal, host, options);
    if (options.play) replay.play();
  };
  open().catch((error: unknown) => {
    if (aborted(error) || signal.aborted) return;
    const words = error instanceof Error ? error.message : String(error);
    fill(view, h('div', { class: 'kl-problem', role: 'alert', text: t('This run cannot be replayed: %1', words) }));
  });
}

/** The run's view, made anew whenever time has gone back; its tab stays. */
function showRun(parent: HTMLElement, replay: ReplaySource, runId: string, signal: AbortSignal, host: Host, options: ReplayOptions): void {
  let current = new AbortController();
  let tab = options.tab ?? null;
  replay.restarted.watch(() => {
    // what was there keeps its room until the new view has drawn: nothing jumps
    parent.style.minHeight = `${parent.offsetHeight}px`;
    const focused = parent.contains(document.activeElement) ? (document.activeElement as HTMLElement).id : '';
    current.abort();
    current = new AbortController();
    const ending = AbortSignal.any([signal, current.signal]);
    mountRun(parent, replay, runId, {
      tab, compact: options.compact ?? true,
      onTab: (chosen) => {
        tab = chosen;
        options.onTab?.(chosen);
      },
    }, ending, host);
    if (focused) document.getElementById(focused)?.focus();
  }, signal);
}

async function marksOf(source: Source, runId: string, begin: number, signal: AbortSignal): Promise<Mark[]> {
  const { events } = await source.window(runId, { kinds: ['status', 'error', 'lock', 'lease'] }, 0, 500, signal);
  const marks: Mark[] = [];
  for (const { kind, ts, payload } of events) {
    const data = JSON.parse(payload) as { status?: string; reason?: string; name?: string; type?: string; by?: string };
    const [status, words] = {
      status: [data.status ?? '', [data.status, data.reason].filter(Boolean).join(': ')],
      error: ['error', data.type ?? 'error'],
      lock: ['awaiting', `asks: ${data.name ?? t('a person')}`],
      lease: ['running', `answered${data.by ? ` by ${data.by}` : ''}`],
    }[kind as 'status' | 'error' | 'lock' | 'lease'] as [string, string];
    if (words) marks.push({ at: Math.max(0, ts - begin), words, status });
  }
  return marks;
}

class Player {
  readonly element: HTMLElement;
  private readonly play: HTMLButtonElement;
  private readonly slider: HTMLInputElement;
  private readonly time = h('span', { class: 'kl-replay-time' });
  private readonly what = h('div', { class: 'kl-muted kl-replay-what', role: 'status' });
  private dragging = false;
  private dragged: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly replay: ReplaySource,
    private readonly marks: readonly Mark[],
    private readonly signal: AbortSignal,
  ) {
    const { length } = replay;
    this.play = h('button', { type: 'button', class: 'kl-btn kl-primary kl-replay-play' });
    this.slider = h('input', { type: 'range', min: 0, max: Math.max(1, Math.round(length)), step: 1, value: 0, 'aria-label': t('Time') });
    const speed = h('select', { 'aria-label': t('Speed') }, ...SPEEDS.map((value) => h('option', { value, text: `${value}×` })));
    speed.addEventListener('change', () => replay.speed.set(Number(speed.value)), { signal });
    replay.speed.watch((value) => (speed.value = String(value)), signal);
    const ticks = h('div', { class: 'kl-replay-marks' }, ...marks.map((mark) =>
      h('span', { class: 'kl-replay-mark', 'data-status': mark.status, title: `${this.label(mark.at)} ${mark.words}`, style: `inset-inline-start: ${share(mark.at, length)}%` })));
    this.element = h('div', { class: 'kl-replay-player', role: 'group', 'aria-label': t('Player') },
      h('div', { class: 'kl-tools' }, this.play, speed, h('div', { class: 'kl-replay-track' }, pulse(replay), ticks, this.slider), this.time,
        toggle(t('Skip silence'), replay.skip, signal, t('Leave out pauses of more than 5 seconds'))),
      this.what);
    this.listen();
    const draw = coalesced(() => this.draw(), signal);
    replay.position.watch(draw, signal);
    replay.playing.watch(draw, signal);
    signal.addEventListener('abort', () => clearTimeout(this.dragged), { once: true });
  }

  private listen(): void {
    const { replay, signal, slider } = this;
    const turn = (): void => (replay.playing.get() ? replay.pause() : replay.play());
    this.play.addEventListener('click', turn, { signal });
    slider.addEventListener('input', () => {
      this.dragging = true;
      this.dragged ??= setTimeout(() => {
        this.dragged = undefined;
        replay.seek(Number(slider.value));
      }, DRAG_MS);
    }, { signal });
    slider.addEventListener('change', () => {
      clearTimeout(this.dragged);
      this.dragged = undefined;
      this.dragging = false;
      replay.seek(Number(slider.value));
    }, { signal });
    this.element.addEventListener('keydown', (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const on = event.target as HTMLElement;
      const at = replay.position.get();
      const acts: Record<string, () => void> = {
        '.': () => this.toMark(1), ',': () => this.toMark(-1),
        ...(on === slider ? {
          ArrowRight: () => replay.seek(at + STEP_MS), ArrowLeft: () => replay.seek(at - STEP_MS),
          ArrowUp: () => replay.seek(at + STEP_MS), ArrowDown: () => replay.seek(at - STEP_MS),
          PageUp: () => replay.seek(at + replay.length / 10), PageDown: () => replay.seek(at - replay.length / 10),
          Home: () => replay.seek(0), End: () => replay.seek(replay.length), ' ': turn,
        } : {}),
      };
      const act = acts[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    }, { signal });
  }

  /** To the next mark, or to the one before. */
  private toMark(by: 1 | -1): void {
    const at = this.replay.position.get();
    const places = this.marks.map((mark) => mark.at);
    const to = by > 0 ? places.find((place) => place > at + 1) : places.findLast((place) => place < at - 500);
    this.replay.seek(to ?? (by > 0 ? this.replay.length : 0));
  }

  private label(ms: number): string {
    const step = this.replay.length < 60_000 ? 100 : 1000;
    return timeLabel(step === 1000 ? Math.floor(ms / 1000) * 1000 : ms, step);
  }

  private draw(): void {
    const { replay } = this;
    const at = replay.position.get();
    const playing = replay.playing.get();
    setText(this.play, playing ? '❚❚' : '▶');
    this.play.setAttribute('aria-label', playing ? t('Pause') : at >= replay.length ? t('Play from the start') : t('Play'));
    if (!this.dragging) this.slider.value = String(Math.round(at));
    const words = `${this.label(at)} of ${this.label(replay.length)}`;
    setText(this.time, `${this.label(at)} / ${this.label(replay.length)}`);
    const mark = this.marks.findLast((one) => one.at <= at + 1);
    this.slider.setAttribute('aria-valuetext', mark ? `${words}, ${mark.words}` : words);
    setText(this.what, mark ? mark.words : '');
  }
}

function share(at: number, length: number): number {
  return length > 0 ? Math.min(100, (at / length) * 100) : 0;
}

/** How much happened when. */
function pulse(replay: ReplaySource): SVGElement {
  const { seq, ts } = replay.course;
  const bins = new Float64Array(BINS);
  for (let i = 1; i < seq.length; i++) {
    const events = seq[i]! - seq[i - 1]!;
    const [from, to] = [share(ts[i - 1]! - replay.begin, replay.length), share(ts[i]! - replay.begin, replay.length)].map((at) => Math.min(BINS - 1, (at / 100) * BINS));
    const [first, last] = [Math.floor(from!), Math.floor(to!)];
    // one event after a silence came at its end
    if (events === 1) bins[last]! += 1;
    else for (let bin = first; bin <= last; bin++) bins[bin]! += events / (last - first + 1);
  }
  const most = Math.max(1, ...bins);
  const heights = Array.from(bins, (n) => (n === 0 ? 0 : 8 + 92 * (Math.log1p(n) / Math.log1p(most))));
  const path = heights.map((height, i) => `L${i} ${100 - height}L${i + 1} ${100 - height}`).join('');
  return svg('svg', { class: 'kl-replay-pulse', viewBox: `0 0 ${BINS} 100`, preserveAspectRatio: 'none', 'aria-hidden': true },
    svg('path', { d: `M0 100${path}L${BINS} 100Z` }));
}

export const REPLAY_CSS = RUN_CSS + `
.kl .kl-replay { display: flex; flex-direction: column; gap: 6px; min-width: 0; }
.kl .kl-replay-player { border: 1px solid var(--kl-border); border-radius: 4px; padding: 2px 10px 4px; }
.kl .kl-replay-player .kl-tools { padding: 4px 0 0; }
.kl .kl-replay-play { min-width: 42px; }
.kl .kl-replay-track { position: relative; flex: 1 1 200px; min-width: 140px; height: 34px; }
.kl .kl-replay-track input { position: absolute; inset: auto 0 0; width: 100%; margin: 0; height: 16px; accent-color: var(--kl-accent); }
.kl .kl-replay-pulse { position: absolute; inset: 0 8px 15px; width: calc(100% - 16px); height: 16px; }
.kl .kl-replay-pulse path { fill: color-mix(in srgb, var(--kl-accent) 35%, transparent); }
.kl .kl-replay-marks { position: absolute; inset: 0 8px 0; pointer-events: none; }
.kl .kl-replay-mark { position: absolute; top: 0; width: 2px; height: 19px; margin-inline-start: -1px; background: var(--kl-idle); pointer-events: auto; }
.kl .kl-replay-mark[data-status=finished] { background: var(--kl-ok); }
.kl .kl-replay-mark[data-status=running] { background: var(--kl-accent); }
.kl .kl-replay-mark[data-status=awaiting] { background: var(--kl-warn); }
.kl .kl-replay-mark:is([data-status=error], [data-status=timeout], [data-status=lost]) { background: var(--kl-bad); width: 3px; }
.kl .kl-replay-time { font-variant-numeric: tabular-nums; white-space: nowrap; min-width: 11ch; text-align: end; }
.kl .kl-replay-what { min-height: 20px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
`;
