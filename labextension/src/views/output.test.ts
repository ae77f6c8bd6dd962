import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Scripted, reply } from '../sources/_testing.ts';
import { Source } from '../sources/source.ts';
import type { Reply, Request } from '../sources/transport.ts';
// what kodosumi_lab.events.encode made of Polars and pandas frames
import bundles from './_bundles.json' with { type: 'json' };
import { until } from './_testing.ts';
import { csv, gridOfArrow } from './output/grid.ts';
import { showBundle } from './output.ts';

let place: HTMLElement;
beforeEach(() => {
  place = document.createElement('div');
  document.body.append(place);
});
afterEach(() => place.remove());

function show(value: unknown, answer: (request: Request) => Reply = () => reply(404, '{}')): HTMLElement {
  const source = new Source(new Scripted(answer));
  showBundle(place, typeof value === 'string' ? value : JSON.stringify(value), { source, runId: 'r', signal: new AbortController().signal });
  return place;
}

const inside = (): ShadowRoot => place.querySelector('.kl-prose')!.shadowRoot!;
const texts = (selector: string): string[] => [...place.querySelectorAll(selector)].map((one) => one.textContent);

describe('untrusted HTML', () => {
  it('keeps its text, and nothing that runs, takes input or opens a page', () => {
    show({
      'text/html': `<p onclick="x()">a <b>b</b></p><script>x()</script><form action="/api"><input name="q"><button>go</button></form>
        <iframe src="https://example.org"></iframe><a href="javascript:x()">c</a><object data="x"></object><svg><script>x()</script></svg>`,
    });
    expect(inside().querySelectorAll('script, form, input, button, iframe, object, [onclick]')).toHaveLength(0);
    expect(inside().querySelector('b')!.textContent).toBe('b');
    expect(inside().querySelector('a')!.hasAttribute('href')).toBe(false);
  });

  it('keeps styles to itself, and none that load something', () => {
    show({ 'text/html': '<style>b { color: teal }</style><style>@import "https://x.org/a.css";</style><b style="background: url(https://x.org/b)">x</b><i style="color: teal">y</i>' });
    expect(place.querySelectorAll('style')).toHaveLength(0);
    const own = [...inside().querySelectorAll('style')].map((style) => style.textContent).slice(1);
    expect(own).toEqual(['b { color: teal }']);
    expect(inside().querySelector('b')!.hasAttribute('style')).toBe(false);
    expect(inside().querySelector('i')!.getAttribute('style')).toContain('teal');
  });

  it('opens links elsewhere, and asks nothing of its own server', () => {
    show({ 'text/html': `<a href="https://x.org">x</a><a href="#top">t</a><img src="/hub/logout"><img src="data:image/gif;base64,R0"><img src="https://x.org/i.png"><svg><use href="https://x.org/s.svg#a"/></svg>` });
    const [out, within] = inside().querySelectorAll('a');
    expect([out!.target, out!.rel, within!.hasAttribute('href')]).toEqual(['_blank', 'noopener noreferrer', false]);
    expect([...inside().querySelectorAll('img')].map((img) => img.getAttribute('src'))).toEqual([null, 'data:image/gif;base64,R0', 'https://x.org/i.png']);
    expect(inside().querySelector('use')?.hasAttribute('href') ?? false).toBe(false);
  });

  it('gives way to another form where nothing of it is left', () => {
    show({ 'text/html': '<div></div><script>draw()</script>', 'text/plain': 'Figure()' });
    expect(texts('.kl-text')).toEqual(['Figure()']);
  });

  it('is Markdown, too', () => {
    show({ 'text/markdown': '# T\n\n- [x] done\n\n`code` <img src=x onerror=x()> [l](javascript:x())' });
    expect(inside().querySelector('h1')!.textContent).toBe('T');
    expect(inside().querySelector('li')!.textContent).toContain('☑ done');
    expect(inside().querySelectorAll('input, [onerror], a[href]')).toHaveLength(0);
  });
});

describe('pictures', () => {
  it('are pictures only, SVG among them, with the place they need', () => {
    const png = 'iVBORw0KGgoAAAANSUhEUgAAAAUAAAADCAYAAABbNsX4AAAAC0lEQVR4nGNgwAQAABUAAbXKUuoAAAAASUVORK5CYII=';
    show({ 'image/png': png, 'text/plain': '<Figure 5x3>' });
    const image = place.querySelector('img')!;
    expect([image.width, image.height, image.alt]).toEqual([5, 3, '<Figure 5x3>']);
    place.replaceChildren();
    show({ 'image/svg+xml': '<svg xmlns="http://www.w3.org/2000/svg"><script>x()</script></svg>' });
    expect(place.querySelector('svg')).toBeNull();
    expect(place.querySelector('img')!.src).toMatch(/^data:image\/svg\+xml/);
  });
});

describe('values', () => {
  it('are what they are: text, None, numbers', () => {
    show({ 'text/plain': 'a <b>' });
    show({ 'application/json': null });
    show({ 'application/json': 0.5 });
    show({ 'application/json': 'words' });
    expect(texts('.kl-text')).toEqual(['a <b>', 'None', '0.5', 'words']);
    expect(place.querySelector('b')).toBeNull();
  });

  it('that are no bundle are shown as JSON, and no JSON as text', () => {
    show('not json');
    show({ answer: 42 });
    expect(texts('.kl-text')).toEqual(['not json']);
    expect(texts('[role=treeitem] > .kl-json-line > .kl-json-key')).toEqual(['answer']);
  });

  it('of unknown kinds are their text', () => {
    show({ 'application/x-thing': { a: 1 }, 'text/plain': 'Thing(1)' });
    expect(texts('.kl-text')).toEqual(['Thing(1)']);
    show({ 'application/x-thing': 1 });
    expect(place.textContent).toContain('Nothing here shows application/x-thing.');
  });

  it('over a megabyte are loaded when somebody wants them', async () => {
    const sha256 = 'a'.repeat(64);
    show({ artifact: { sha256, nbytes: 12 * 2 ** 20, date: '2026-01-01' } }, (request) =>
      request.path.endsWith(`/runs/r/artifacts/${sha256}`) ? reply(200, JSON.stringify({ 'text/plain': 'big' })) : reply(404, '{}'));
    expect(texts('button')).toEqual(['Show 12 MiB']);
    place.querySelector('button')!.click();
    await until(() => texts('.kl-text')[0] === 'big');
    expect(place.querySelector('button')).toBeNull();
  });
});

describe('a JSON tree', () => {
  const press = (key: string): void => {
    document.activeElement!.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
  };

  it('opens as far as it is small, and by keys', () => {
    show({ 'application/json': { a: { x: 1, y: [1, 2] }, b: Array.from({ length: 250 }, (_, i) => i) } });
    const name = (node: Element): string => node.querySelector(':scope > .kl-json-line > .kl-json-key')?.textContent ?? '';
    const open = (): string[] => [...place.querySelectorAll('[aria-expanded=true]')].map(name);
    const at = (): string => name(document.activeElement!);
    expect(open()).toEqual(['a', 'b']);
    expect(texts('[role=group] [role=treeitem] > .kl-json-line > .kl-muted').slice(-3)).toEqual(['0 … 99', '100 … 199', '200 … 249']);
    place.querySelector<HTMLElement>('[role=treeitem][tabindex="0"]')!.focus();
    expect(at()).toBe('a');
    press('ArrowRight');
    expect(at()).toBe('x');
    press('ArrowLeft');
    press('ArrowLeft');
    expect([at(), open()]).toEqual(['a', ['b']]);
    press('ArrowDown');
    expect(at()).toBe('b');
    press('End');
    press('Enter');
    press('ArrowRight');
    expect(at()).toBe('200');
    expect(place.querySelectorAll('[tabindex="0"][role=treeitem]')).toHaveLength(1);
  });

  it('holds a million rows without drawing them', () => {
    const begun = performance.now();
    show(JSON.stringify({ 'application/json': { rows: Array.from({ length: 300_000 }, (_, i) => [i]) } }));
    expect(place.querySelectorAll('*').length).toBeLessThan(200);
    expect(performance.now() - begun).toBeLessThan(2000);
  });
});

describe('a table', () => {
  const cells = (): string[][] => [...place.querySelectorAll('tbody tr')].map((row) => [...row.children].map((cell) => cell.textContent));
  const head = (name: string): HTMLElement => [...place.querySelectorAll<HTMLElement>('th button')].find((one) => one.textContent === name)!;

  it('is unpacked as Python wrote it, with every type', () => {
    show(bundles.types);
    expect(cells()).toEqual([
      ['1', '1.5', 'a,b', 'true', '2026-01-31', '2026-01-31 14:03:05.120', '2026-01-31 14:03:05Z', '14:03:05', '90 s', '[1,2]', '{"x":1,"y":"z"}', '3 bytes', 'low', '1.25'],
      ['null', 'NaN', 'say "x"', 'false', ...Array<string>(9).fill('null').map((text, i) => (i === 5 ? '[]' : i === 8 ? 'high' : text)), 'null'],
      ['1152921504606846976', '1234568', 'null', 'null', '1969-07-20', '2026-01-01 00:00:00', '2026-01-01 00:00:00Z', '00:00:01', '0.005 s', 'null', '{"x":2,"y":null}', '0 bytes', 'low', '2.5'],
    ]);
    expect(place.textContent).toContain('3 rows × 14 columns');
  });

  it('is shown page by page, and sorted by its heads', () => {
    show(bundles.many);
    expect([cells().length, texts('.kl-table-where')]).toEqual([10, ['1–10 of 1,000']]);
    place.querySelector<HTMLElement>('[aria-label="Next page"]')!.click();
    expect(cells()[0]).toEqual(['10', '100', 'w3']);
    head('n').click();
    expect([cells()[0]![0], head('n').parentElement!.getAttribute('aria-sort')]).toEqual(['0', 'ascending']);
    head('n').click();
    expect([cells()[0]![0], head('n').parentElement!.getAttribute('aria-sort')]).toEqual(['999', 'descending']);
    head('word').click();
    expect(cells().slice(0, 2)).toEqual([['0', '0', 'w0'], ['7', '49', 'w0']]);
    head('word').click();
    head('word').click();
    expect([cells()[0]![0], place.querySelector('[aria-sort]')]).toEqual(['0', null]);
  });

  it('of pandas has its index; an empty one has its heads', () => {
    show(bundles.pandas);
    expect([texts('th'), cells()]).toEqual([['a', '#'], [['1', 'x'], ['2', 'y']]]);
    place.replaceChildren();
    show(bundles.empty);
    expect([texts('th'), cells(), place.textContent.includes('0 rows × 1 column')]).toEqual([['a'], [], true]);
  });

  it('is downloaded in full, as a spreadsheet reads it', async () => {
    const grid = gridOfArrow(Uint8Array.from(atob(bundles.types['application/vnd.apache.arrow.stream']), (c) => c.charCodeAt(0)));
    const lines = (await csv(grid).text()).split('\r\n');
    expect(lines[1]).toBe('1,1.5,"a,b",true,2026-01-31,2026-01-31 14:03:05.120,2026-01-31 14:03:05Z,14:03:05,90 s,"[1,2]","{""x"":1,""y"":""z""}",YWJj,low,1.25');
    expect(lines[2]).toBe(',NaN,"say ""x""",false,,,,,,[],,,high,');
    expect(lines[3]!.split(',')[1]).toBe('1234567.890123');
  });

  it('that cannot be read gives way to the HTML form', () => {
    show({ ...bundles.many, 'application/vnd.apache.arrow.stream': btoa('torn') });
    expect(inside().textContent).toContain('html form');
  });

  it('is what alike JSON objects are, too', () => {
    show({ 'application/json': [{ task: 't0', i: 0 }, { task: 't1', i: 1 }] });
    expect([texts('th'), cells()]).toEqual([['task', 'i'], [['t0', '0'], ['t1', '1']]]);
    [...place.querySelectorAll('button')].find((one) => one.textContent === 'Show as JSON')!.click();
    expect(place.querySelectorAll('[role=tree]')).toHaveLength(1);
  });
});

describe('a figure of Bokeh', () => {
  const figure = (name: string): object => ({
    'application/vnd.kodosumi.bokeh.v1+json': { root_id: 'p1', doc: { version: '3.9.2', roots: [{ type: 'object', name, id: 'p1' }] } },
    'text/plain': 'figure(…)',
  });

  it('says so where BokehJS cannot be had', async () => {
    const problem = { type: 'urn:kodosumi-lab:problem:asset', title: '', status: 404, detail: 'bokeh is not installed' };
    show(figure('Figure'), () => reply(404, JSON.stringify(problem)));
    await until(() => place.querySelector('[role=alert]'));
    expect(place.textContent).toContain('The figure cannot be drawn: bokeh is not installed');
    expect(texts('.kl-text')).toEqual(['figure(…)']);
  });

  it('with scripts of its own is not run before somebody says so', () => {
    const asked: string[] = [];
    show(figure('CustomJS'), (request) => {
      asked.push(request.path);
      return reply(404, '{}');
    });
    expect([asked, texts('button')]).toEqual([[], ['Run it and show']]);
  });
});
