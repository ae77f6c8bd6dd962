// Whatever a flow showed: a MIME bundle as DOM. The richest form that can be drawn counts; what is
// untrusted is cleaned in prose.ts, pictures are pictures only, and nothing is fetched from other sites.

import type { Source } from '../sources/source.ts';
import { aborted } from '../sources/transport.ts';
import { type BokehItem, drawBokeh, hasScripts } from './output/bokeh.ts';
import { fill, h } from './dom.ts';
import { bytes as size, count } from './format.ts';
import { type Grid, gridOfArrow, gridOfRecords } from './output/grid.ts';
import { JSON_CSS, mountJson } from './json.ts';
import { PROSE_CSS, html, isEmpty, markdown } from './prose.ts';
import { TABLE_CSS, mountTable } from './output/table.ts';
import { t } from './words.ts';

export interface OutputContext {
  source: Source;
  runId: string;
  signal: AbortSignal;
  /** What downloads are called; `table` otherwise. */
  name?: string;
}

type Bundle = Record<string, unknown>;
/** Draws one form of a bundle; false where there is nothing to be seen in it. */
type Viewer = (parent: HTMLElement, data: unknown, bundle: Bundle, context: OutputContext) => boolean;

/** Longer texts are cut, and shown in full when asked for. */
const TEXT = 20_000;

const VIEWERS: [mime: string, viewer: Viewer][] = [
  ['application/vnd.kodosumi.bokeh.v1+json', figure],
  ['application/vnd.apache.arrow.stream', arrow],
  ['text/html', (parent, data) => prose(parent, html(textOf(data)))],
  ['text/markdown', (parent, data) => prose(parent, markdown(textOf(data)))],
  ['image/svg+xml', (parent, data, bundle) => picture(parent, `data:image/svg+xml;charset=utf-8,${encodeURIComponent(textOf(data))}`, bundle)],
  ...['image/png', 'image/jpeg', 'image/gif', 'image/webp'].map((mime): [string, Viewer] => [
    mime, (parent, data, bundle) => picture(parent, `data:${mime};base64,${textOf(data).replace(/\s/g, '')}`, bundle),
  ]),
  ['text/latex', (parent, data) => text(parent, textOf(data))],
  ['application/json', json],
  ['text/plain', (parent, data) => text(parent, textOf(data))],
];

/** Show a payload of a result, action or final event: the JSON text as it is in the log. */
export function showBundle(parent: HTMLElement, payload: string, context: OutputContext): void {
  let value: unknown;
  try {
    value = JSON.parse(payload);
  } catch {
    text(parent, payload);
    return;
  }
  showValue(parent, value, context);
}

/** The same for a payload that is parsed. */
export function showValue(parent: HTMLElement, value: unknown, context: OutputContext): void {
  if (isArtifact(value)) artifact(parent, value.artifact, context);
  else if (isBundle(value)) bundle(parent, value, context);
  else json(parent, value, {}, context);
}

function isBundle(value: unknown): value is Bundle {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).some((key) => key.includes('/'));
}

function bundle(parent: HTMLElement, held: Bundle, context: OutputContext): void {
  for (const [mime, viewer] of VIEWERS) {
    if (!(mime in held)) continue;
    const place = h('div', { class: 'kl-output' });
    try {
      if (!viewer(place, held[mime], held, context)) continue;
    } catch (error) {
      // another form of the same value is worth more than an error; the last one is shown with it
      if (Object.keys(held).some((other) => other !== mime && other.includes('/') && other !== 'application/vnd.kodosumi.class')) continue;
      place.append(problem(t('This %1 cannot be shown', mime), error));
    }
    parent.append(place);
    return;
  }
  const names = Object.keys(held).join(', ');
  parent.append(h('div', { class: 'kl-output' }, h('span', { class: 'kl-muted', text: t('Nothing here shows %1.', names) })));
}

function textOf(data: unknown): string {
  if (typeof data === 'string') return data;
  return Array.isArray(data) ? data.join('') : JSON.stringify(data);
}

function problem(what: string, error: unknown): HTMLElement {
  return h('div', { class: 'kl-problem', role: 'alert', text: `${what}: ${error instanceof Error ? error.message : String(error)}` });
}

function text(parent: HTMLElement, value: string): boolean {
  const pre = h('pre', { class: 'kl-text', text: value.slice(0, TEXT) });
  parent.append(pre);
  if (value.length > TEXT) {
    const more = h('button', {
      type: 'button', class: 'kl-link', text: t('Show all %1 characters', count(value.length)),
      onclick: () => {
        pre.textContent = value;
        more.remove();
      },
    });
    parent.append(more);
  }
  return true;
}

function prose(parent: HTMLElement, made: HTMLElement): boolean {
  if (isEmpty(made)) return false;
  parent.append(made);
  return true;
}

function picture(parent: HTMLElement, address: string, held: Bundle): boolean {
  const words = held['text/plain'];
  const image = h('img', { class: 'kl-image', src: address, alt: typeof words === 'string' ? words.slice(0, 200) : 'picture', decoding: 'sync' });
  const dimensions = sizeOfPng(address);
  // the place is kept before the picture is decoded
  if (dimensions) Object.assign(image, dimensions);
  image.addEventListener('error', () => image.replaceWith(h('span', { class: 'kl-muted', text: t('a picture that cannot be decoded: %1', image.alt) })));
  parent.append(image);
  return true;
}

/** Width and height stand at fixed places of a PNG. */
function sizeOfPng(address: string): { width: number; height: number } | null {
  const head = /^data:image\/png;base64,(.{32})/.exec(address)?.[1];
  if (!head) return null;
  try {
    const raw = Uint8Array.from(atob(head), (c) => c.charCodeAt(0));
    const view = new DataView(raw.buffer);
    return { width: view.getUint32(16), height: view.getUint32(20) };
  } catch {
    return null;
  }
}

function json(parent: HTMLElement, value: unknown, _: Bundle, context: OutputContext): boolean {
  if (typeof value === 'string') return text(parent, value);
  if (typeof value !== 'object' || value === null) {
    parent.append(h('pre', { class: 'kl-text kl-scalar', text: value === null ? t('None') : JSON.stringify(value) }));
    return true;
  }
  const grid = gridOfRecords(value);
  if (!grid) {
    mountJson(parent, value);
    return true;
  }
  const place = h('div');
  const draw = (table: boolean): void => {
    fill(place);
    if (table) mountTable(place, grid, context.name ?? 'table');
    else mountJson(place, value);
    toggle.textContent = table ? t('Show as JSON') : t('Show as table');
    toggle.onclick = () => draw(!table);
  };
  const toggle = h('button', { type: 'button', class: 'kl-link' });
  draw(true);
  parent.append(place, toggle);
  return true;
}

function arrow(parent: HTMLElement, data: unknown, _: Bundle, context: OutputContext): boolean {
  const raw = atob(textOf(data));
  const grid: Grid = gridOfArrow(Uint8Array.from(raw, (c) => c.charCodeAt(0)));
  mountTable(parent, grid, context.name ?? 'table');
  return true;
}

function figure(parent: HTMLElement, data: unknown, held: Bundle, context: OutputContext): boolean {
  if (typeof data !== 'object' || data === null || !('root_id' in data)) return false;
  const item = data as BokehItem;
  const waiting = h('div', { class: 'kl-muted', role: 'status', text: t('Loading Bokeh …') });
  const draw = async (): Promise<void> => {
    fill(parent, waiting);
    try {
      await drawBokeh(parent, item, context.source, context.signal);
    } catch (error) {
      if (aborted(error) || context.signal.aborted) return;
      parent.append(problem(t('The figure cannot be drawn'), error));
      if (typeof held['text/plain'] === 'string') text(parent, held['text/plain']);
    } finally {
      waiting.remove();
    }
  };
  if (hasScripts(JSON.stringify(item))) {
    const ask = h('button', { type: 'button', class: 'kl-btn', text: t('Run it and show'), onclick: () => void draw() });
    parent.append(h('div', { class: 'kl-row' }, h('span', { class: 'kl-muted', text: t('This figure carries JavaScript of its own.') }), ask));
  } else void draw();
  return true;
}

interface Artifact {
  sha256: string;
  nbytes: number;
}

function isArtifact(value: unknown): value is { artifact: Artifact } {
  if (typeof value !== 'object' || value === null || Object.keys(value).length !== 1 || !('artifact' in value)) return false;
  const held = value.artifact as Partial<Artifact> | null;
  return typeof held?.sha256 === 'string' && /^[0-9a-f]{64}$/.test(held.sha256);
}

/** A payload that is kept beside the log: loaded when somebody wants to see it. */
function artifact(parent: HTMLElement, held: Artifact, context: OutputContext): void {
  const place = h('div', { class: 'kl-output' });
  const label = t('Show %1', size(held.nbytes));
  const button = h('button', { type: 'button', class: 'kl-btn', text: label, onclick: () => void load() });
  const load = async (): Promise<void> => {
    button.disabled = true;
    button.textContent = t('Loading …');
    try {
      const value = await context.source.artifact(context.runId, held.sha256, context.signal);
      fill(place);
      showValue(place, value, context);
    } catch (error) {
      if (aborted(error)) return;
      button.disabled = false;
      button.textContent = label;
      fill(place, button, problem(t('It cannot be loaded'), error));
    }
  };
  place.append(button);
  parent.append(place);
}

export const OUTPUT_CSS = `${PROSE_CSS}${JSON_CSS}${TABLE_CSS}
.kl .kl-output { max-width: 100%; min-width: 0; }
.kl .kl-text { margin: 0; font-family: var(--kl-mono); font-size: .92em; white-space: pre-wrap; overflow-wrap: anywhere; }
.kl .kl-image { display: block; max-width: 100%; height: auto; }
.kl .kl-bokeh { overflow-x: auto; contain: layout style; }
`;
