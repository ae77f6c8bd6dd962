// Drawing of a timeline on a canvas: which colours and texts stand where. No events, no state of its own.

import { duration } from '../format.ts';
import { type Palette, sharp } from './palette.ts';
import { timeLabel, timeTicks } from '../ticks.ts';
import type { Item, Lane, Layout, Wait } from './layout.ts';
import { t } from '../words.ts';

export const AXIS = 24;
export const HEAD = 18;
export const ROW = 20;
const GAP = 6;
/** The lane of the run itself: phases and waiting. */
export const RUN_LANE = HEAD + ROW + GAP;
const LANES = 8;

export const COLOURS = [
  '--kl-fg', '--kl-fg2', '--kl-bg', '--kl-bg2', '--kl-border', '--kl-accent', '--kl-ok', '--kl-warn', '--kl-bad', '--kl-idle',
  ...Array.from({ length: LANES }, (_, i) => `--kl-lane-${i}`),
];

/** What of the run is seen, and where the run itself begins and ends, all ms since 1970. */
export interface Scene {
  layout: Layout;
  from: number;
  to: number;
  start: number;
  now: number;
  ended: number | null;
  status: string;
  reason: string;
  width: number;
  height: number;
  /** How far it is scrolled down. */
  scroll: number;
  hovered: string | null;
  focused: string | null;
}

/** Where each lane begins, below the axis. */
export function tops(lanes: readonly Lane[]): number[] {
  const found: number[] = [];
  let top = RUN_LANE;
  for (const lane of lanes) {
    found.push(top);
    top += HEAD + lane.rows * ROW + GAP;
  }
  return [...found, top];
}

export function xOf(scene: Scene, time: number): number {
  return ((time - scene.from) / (scene.to - scene.from)) * scene.width;
}

export function paint(canvas: HTMLCanvasElement, scene: Scene, palette: Palette): void {
  const context = sharp(canvas, scene.width, scene.height);
  if (!context) return;
  context.textBaseline = 'middle';
  const step = drawGrid(context, scene, palette);
  context.save();
  context.beginPath();
  context.rect(0, AXIS, scene.width, scene.height - AXIS);
  context.clip();
  context.translate(0, AXIS - scene.scroll);
  drawRun(context, scene, palette);
  drawLanes(context, scene, palette);
  context.restore();
  drawMarks(context, scene, palette);
  drawAxis(context, scene, palette, step);
}

function drawGrid(context: CanvasRenderingContext2D, scene: Scene, palette: Palette): { at: number[]; step: number } {
  const at = timeTicks(scene.from - scene.start, scene.to - scene.start, scene.width / 90);
  context.fillStyle = palette.of('--kl-border');
  context.globalAlpha = 0.45;
  for (const tick of at) context.fillRect(Math.round(xOf(scene, tick + scene.start)), AXIS, 1, scene.height - AXIS);
  context.globalAlpha = 1;
  return { at, step: at.length > 1 ? at[1]! - at[0]! : 1000 };
}

function drawAxis(context: CanvasRenderingContext2D, scene: Scene, palette: Palette, { at, step }: { at: number[]; step: number }): void {
  context.fillStyle = palette.of('--kl-bg');
  context.fillRect(0, 0, scene.width, AXIS);
  context.fillStyle = palette.of('--kl-border');
  context.fillRect(0, AXIS - 1, scene.width, 1);
  context.fillStyle = palette.of('--kl-fg2');
  context.font = palette.font(11);
  for (const tick of at) {
    const x = Math.round(xOf(scene, tick + scene.start));
    const text = timeLabel(tick, step);
    const width = context.measureText(text).width;
    context.fillText(text, Math.max(2, Math.min(scene.width - width - 2, x - width / 2)), AXIS / 2);
  }
}

/** Phases of the run, and in them the stretches in which it waited. */
function drawRun(context: CanvasRenderingContext2D, scene: Scene, palette: Palette): void {
  lane(context, palette, t('the run'), 0);
  const y = HEAD;
  const bad = ['error', 'timeout', 'lost'].includes(scene.status);
  const from = scene.layout.waits.find((wait) => wait.kind === 'queue')?.to ?? scene.start;
  bar(context, scene, from, scene.ended ?? scene.now, y, palette.of(bad ? '--kl-bad' : scene.ended ? '--kl-ok' : '--kl-accent'), 0.3);
  for (const wait of scene.layout.waits) drawWait(context, scene, wait, y, palette);
}

function drawWait(context: CanvasRenderingContext2D, scene: Scene, wait: Wait, y: number, palette: Palette): void {
  const [x0, x1] = [xOf(scene, wait.from), Math.max(xOf(scene, wait.from) + 2, xOf(scene, wait.to ?? scene.now))];
  if (x1 < 0 || x0 > scene.width) return;
  const colour = palette.of(wait.kind === 'lock' ? '--kl-warn' : '--kl-idle');
  context.save();
  context.beginPath();
  context.rect(x0, y, x1 - x0, ROW - 3);
  context.clip();
  context.fillStyle = palette.of('--kl-bg');
  context.fillRect(x0, y, x1 - x0, ROW);
  context.strokeStyle = colour;
  context.lineWidth = 2;
  context.globalAlpha = 0.55;
  context.beginPath();
  for (let x = Math.max(-ROW, x0 - ROW); x < Math.min(scene.width, x1); x += 7) {
    context.moveTo(x, y + ROW);
    context.lineTo(x + ROW, y);
  }
  context.stroke();
  context.globalAlpha = 1;
  context.strokeRect(x0 + 1, y + 1, x1 - x0 - 2, ROW - 5);
  const took = duration(((wait.to ?? scene.now) - wait.from) / 1000);
  const words = wait.kind === 'lock' ? `waiting: ${wait.name} ${took}` : `${wait.name} ${took}`;
  label(context, words, x0, x1, y, palette.of('--kl-fg'), palette, scene.width, palette.of('--kl-bg'));
  context.restore();
}

function drawLanes(context: CanvasRenderingContext2D, scene: Scene, palette: Palette): void {
  const at = tops(scene.layout.lanes);
  for (const one of scene.layout.lanes) lane(context, palette, one.agent ?? t('the flow itself'), at[one.index]!);
  const [low, high] = [scene.scroll - ROW, scene.scroll + scene.height];
  // what is narrower than a pixel is drawn once for all that lie in it
  const last = new Map<number, number>();
  for (const item of scene.layout.ordered) {
    const y = at[item.lane.index]! + HEAD + item.row * ROW;
    if (y < low || y > high) continue;
    const [x0, x1] = [xOf(scene, item.span.start), xOf(scene, item.span.end ?? scene.now)];
    if (x1 < 0 || x0 > scene.width) continue;
    const pixel = Math.round(x0);
    if (x1 - x0 < 1 && !item.span.error && last.get(y) === pixel) continue;
    last.set(y, Math.round(x1));
    drawItem(context, scene, item, x0, x1, y, palette);
  }
}

function drawItem(
  context: CanvasRenderingContext2D, scene: Scene, item: Item, x0: number, x1: number, y: number, palette: Palette,
): void {
  const colour = palette.of(`--kl-lane-${item.lane.index % LANES}`);
  const { span } = item;
  // whole pixels: thousands of soft edges are what drawing would spend its time on
  const left = Math.round(Math.max(-2, x0));
  const right = Math.max(left + 1, Math.round(Math.min(scene.width + 2, x1)));
  context.fillStyle = span.error ? palette.of('--kl-bad') : colour;
  context.globalAlpha = span.error ? 0.85 : 0.4;
  context.fillRect(left, y, right - left, ROW - 3);
  context.globalAlpha = 1;
  if (item.critical) {
    context.fillStyle = palette.of(span.error ? '--kl-fg' : '--kl-accent');
    context.fillRect(left, y + ROW - 5, right - left, 2);
  }
  if (span.end === null && scene.ended === null) fade(context, right, y, colour, palette);
  if (span.id === scene.focused || span.id === scene.hovered) {
    context.strokeStyle = palette.of(span.id === scene.focused ? '--kl-accent' : '--kl-fg2');
    context.lineWidth = 2;
    context.strokeRect(left, y, right - left, ROW - 3);
  }
  if (x1 - x0 < 24) return;
  const took = span.end === null ? '' : ` ${duration((span.end - span.start) / 1000)}`;
  const words = `${span.error ? '✕ ' : ''}${span.name}${took}`;
  label(context, words, x0, x1, y, span.error ? palette.of('--kl-bg') : palette.of('--kl-fg'), palette, scene.width);
}

/** The end of something that goes on. */
function fade(context: CanvasRenderingContext2D, x: number, y: number, colour: string, palette: Palette): void {
  context.fillStyle = colour;
  context.fillRect(x - 2, y, 2, ROW - 3);
  context.fillStyle = palette.of('--kl-accent');
}

/** Attempts, and how the run ended where it did not as it should have. */
function drawMarks(context: CanvasRenderingContext2D, scene: Scene, palette: Palette): void {
  const marks: [number, string, string][] = scene.layout.attempts
    .slice(1)
    .map((attempt) => [attempt.ts, `attempt ${attempt.number}${attempt.reason ? `: ${attempt.reason}` : ''}`, '--kl-warn']);
  if (scene.ended !== null && scene.status !== 'finished') {
    marks.push([scene.ended, `${scene.status}${scene.reason ? `: ${scene.reason}` : ''}`, scene.status === 'cancelled' ? '--kl-idle' : '--kl-bad']);
  }
  context.font = palette.font(11, 600);
  for (const [time, words, name] of marks) {
    const x = Math.round(xOf(scene, time));
    if (x < -1 || x > scene.width + 1) continue;
    context.strokeStyle = palette.of(name);
    context.lineWidth = 1.5;
    context.setLineDash([4, 3]);
    context.beginPath();
    context.moveTo(x, AXIS);
    context.lineTo(x, scene.height);
    context.stroke();
    context.setLineDash([]);
    const text = fitted(context, words, Math.max(60, scene.width * 0.6));
    const width = context.measureText(text).width;
    const at = x + 6 + width < scene.width ? x + 4 : x - width - 6;
    context.fillStyle = palette.of('--kl-bg');
    context.fillRect(at - 2, AXIS + 2, width + 4, 15);
    context.fillStyle = palette.of(name);
    context.fillText(text, at, AXIS + 10);
  }
}

function lane(context: CanvasRenderingContext2D, palette: Palette, name: string, y: number): void {
  context.fillStyle = palette.of('--kl-fg2');
  context.font = palette.font(11, 600);
  context.fillText(name, 4, y + HEAD / 2 + 1);
}

function bar(context: CanvasRenderingContext2D, scene: Scene, from: number, to: number, y: number, colour: string, alpha: number): void {
  const [x0, x1] = [Math.max(0, xOf(scene, from)), Math.min(scene.width, xOf(scene, to))];
  context.fillStyle = colour;
  context.globalAlpha = alpha;
  context.fillRect(x0, y, Math.max(1.5, x1 - x0), ROW - 3);
  context.globalAlpha = 1;
}

/** A text inside a bar, from its beginning or from where the bar comes into sight. */
function label(
  context: CanvasRenderingContext2D, words: string, x0: number, x1: number, y: number, colour: string, palette: Palette, width: number, behind?: string,
): void {
  const left = Math.max(x0, 0) + 5;
  const room = Math.min(x1, width) - left - 3;
  if (room < 14) return;
  context.font = palette.font(11.5);
  const text = fitted(context, words, room);
  if (behind) {
    context.fillStyle = behind;
    context.globalAlpha = 0.8;
    context.fillRect(left - 3, y + 2, context.measureText(text).width + 6, ROW - 7);
    context.globalAlpha = 1;
  }
  context.fillStyle = colour;
  context.fillText(text, left, y + (ROW - 3) / 2 + 0.5);
}

function fitted(context: CanvasRenderingContext2D, words: string, room: number): string {
  if (words.length * 10 < room || context.measureText(words).width <= room) return words;
  let keep = Math.floor((words.length * room) / context.measureText(words).width);
  while (keep > 0 && context.measureText(`${words.slice(0, keep)}…`).width > room) keep--;
  return keep > 1 ? `${words.slice(0, keep)}…` : '';
}
