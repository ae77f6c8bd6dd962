// Figures of Bokeh. BokehJS comes from the gateway, where the bokeh that made the figure is installed,
// is loaded once and only when a figure is shown, and never from another site.

import type { Source } from '../../sources/source.ts';
import { h } from '../dom.ts';
import { cleaned } from '../prose.ts';

/** What Bokeh's `json_item` gives. */
export interface BokehItem {
  doc: { version?: string; roots?: unknown };
  root_id: string;
  target_id?: string | null;
  [key: string]: unknown;
}

interface Bokeh {
  version: string;
  embed: { embed_item(item: BokehItem, target: HTMLElement): Promise<unknown> };
  [version: string]: unknown;
}

/** Parts of BokehJS that only some figures need, by names of models that are in them. */
const PARTS: [file: string, models: RegExp][] = [
  ['bokeh-widgets.min.js', /"name":"(?:\w*Slider|\w*Button(?:Group)?|\w*Input|\w*Select|\w*Picker|Div|Paragraph|PreText|Toggle|Dropdown|Checkbox\w*|Radio\w*|MultiChoice|Spinner|Switch|Markup)"/],
  ['bokeh-tables.min.js', /"name":"(?:DataTable|DataCube|TableColumn)"/],
  ['bokeh-gl.min.js', /"output_backend":"webgl"/],
  ['bokeh-mathjax.min.js', /\$\$|\\\\\(|\\\\\[/],
];

const loading = new Map<string, Promise<void>>();

/** Whether a figure carries scripts of its own, which would run in the page of whoever looks at it. */
export function hasScripts(text: string): boolean {
  return /"name":"(?:CustomJS\w*|HTMLTemplateFormatter)"|"\s*javascript:/i.test(text);
}

/** Draw a figure; rejects with words where it cannot. */
export async function drawBokeh(parent: HTMLElement, given: BokehItem, source: Source, signal: AbortSignal): Promise<void> {
  const text = JSON.stringify(given);
  await load('bokeh.min.js', source, signal);
  for (const [file, models] of PARTS) if (models.test(text)) await load(file, source, signal);
  if (signal.aborted) return;
  const held = (globalThis as { Bokeh?: Bokeh }).Bokeh;
  if (!held) throw new Error('BokehJS is loaded, but not to be found');
  const bokeh = (held[given.doc.version ?? ''] as Bokeh | undefined) ?? held;
  const target = h('div', { class: 'kl-bokeh' });
  parent.append(target);
  // Titles of tools, tooltips and Div models are put into the page as HTML
  const item = JSON.parse(text, (_, value: unknown) => (typeof value === 'string' && /<[a-z!/?]/i.test(value) ? cleaned(value) : value)) as BokehItem;
  await bokeh.embed.embed_item({ ...item, target_id: null }, target);
}

function load(file: string, source: Source, signal: AbortSignal): Promise<void> {
  const known = loading.get(file);
  if (known) return known;
  // another view may wait for the same file, so one view's end must not end the request
  const made = evaluate(file, source).catch((error: unknown) => {
    loading.delete(file);
    throw error;
  });
  if (signal.aborted) return made;
  loading.set(file, made);
  return made;
}

async function evaluate(file: string, source: Source): Promise<void> {
  const code = await source.asset(file);
  const url = URL.createObjectURL(new Blob([code], { type: 'text/javascript' }));
  const script = document.createElement('script');
  try {
    await new Promise<void>((resolve, reject) => {
      script.onload = () => resolve();
      script.onerror = () => reject(new Error(`the page does not let ${file} run`));
      script.src = url;
      document.head.append(script);
    });
  } finally {
    script.remove();
    URL.revokeObjectURL(url);
  }
}
