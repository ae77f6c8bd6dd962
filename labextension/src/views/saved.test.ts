import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Scripted, arrowOf, reply } from '../sources/_testing.ts';
import { Source } from '../sources/source.ts';
import { until } from './_testing.ts';
import { mountSaved } from './saved.ts';
import { ExportedSource, readExport } from './saved/exported.ts';
import { OpenedSource, keyOf } from './saved/opened.ts';

globalThis.ResizeObserver = class {
  observe(): void {}
  unobserve(): void {}
  disconnect(): void {}
};

const RUN = '01990000-0000-7000-8000-0000000000a3';
const T0 = 1_790_000_000_000;

type Told = [kind: string, payload: unknown];
const said: Told[] = [
  ['meta', { flow: 'primes' }], ['inputs', { end: 10 }], ['status', { status: 'running' }], ['stdout', 'one "two"'], ['result', { 'text/plain': 'a piece' }],
  ['lock', { lid: 'l1', name: 'approval', data: { text: 'draft' } }], ['lease', { lid: 'l1', result: true, by: 'bob' }],
  ['final', { 'application/json': { gaps: 3 } }], ['status', { status: 'finished' }],
];

function file(more: Record<string, unknown> = {}): string {
  const at = new Date(T0).toISOString();
  const run = {
    run_id: RUN, flow: 'primes', status: 'finished', reason: '', started: at, running: at, ended: at, updated: at, progress: null, progress_text: null,
    result: null, error: null, attempt: 1, events: said.length, nbytes: 100, last_seq: said.length - 1, active_s: 1, locks: [], user: 'ada', parent: null,
    tags: [], summary: '', author: '', version: '', entrypoint: 'm:f', place: null, meta: {}, inputs: { end: 10 },
  };
  const events = said.map(([kind, payload], seq) => ({ seq, ts: T0 + seq * 1000, kind, agent: null, attempt: 1, payload }));
  return JSON.stringify({ format: 'kodosumi-run', version: 1, run, events, ...more });
}

describe('an exported run', () => {
  it('is read, or says what is wrong with it', () => {
    expect(readExport(file()).events).toHaveLength(said.length);
    const wrong: [string, string][] = [
      ['', 'This file is empty.'], ['{"format": "kodo', 'no exported run: it is no JSON, or a part of it is missing'], ['{}', 'does not say "format": "kodosumi-run"'], ['null', 'does not say'],
      [file({ version: 2 }), 'This export has version 2; this release of Kodosumi Lab reads up to version 1.'], [file({ run: { run_id: RUN } }), 'does not say which run it is'],
      [file({ events: 'none' }), 'it has no list of events'], [file({ events: [{ seq: 0, ts: 1, kind: 'poem', payload: 1 }] }), 'event 0 lacks its seq, ts, kind or payload'],
    ];
    for (const [text, words] of wrong) expect(() => readExport(text)).toThrow(words);
  });

  it('has small files of the run in it, and says of others why not', async () => {
    const at = { last_modified: T0 / 1000 };
    const files = [
      { path: 'in/query.txt', size: 4, ...at, base64: btoa('heap') }, { path: 'out/data.bin', size: 9_000_000, ...at, left_out: 'larger than 4 MiB' },
    ];
    const source = new ExportedSource(readExport(file({ files })));
    expect((await source.files(RUN, 'in')).map(({ path }) => path)).toEqual(['in/query.txt']);
    expect(await source.files(RUN, 'out')).toMatchObject([{ path: 'out/data.bin', left_out: 'larger than 4 MiB' }]);
    expect(await (await source.file(RUN, 'in/query.txt')).text()).toBe('heap');
    await expect(source.file(RUN, 'out/data.bin')).rejects.toThrow('The file out/data.bin is not in this file.');
    await expect(new ExportedSource(readExport(file())).files(RUN, 'in')).rejects.toThrow('Files of the run are not in this file.');
    expect(() => readExport(file({ files: [{ path: 'in/a' }] }))).toThrow('file 0 lacks its path, size, last_modified or content');
  });

  it('answers as the gateway does, and asks nobody', async () => {
    const source = new ExportedSource(readExport(file()));
    const window = async (...asked: [Parameters<Source['window']>[1], number, number]): Promise<[number[], number, number]> => {
      const { events, offset, total } = await source.window(RUN, ...asked);
      return [[...events].map(({ seq }) => seq), offset, total];
    };
    expect(await window({}, 2, 3)).toEqual([[2, 3, 4], 2, 9]);
    expect(await window({}, -2, 5)).toEqual([[7, 8], 7, 9]);
    expect(await window({ kinds: ['status'], upto: 7 }, 0, 9)).toEqual([[2], 0, 1]);
    expect(await window({ search: 'ONE "t' }, 0, 9)).toEqual([[3], 0, 1]);
    const overview = await source.overview(RUN);
    expect([[...overview.events].map(({ kind }) => kind).includes('stdout'), overview.lastSeq, overview.total]).toEqual([false, 8, 9]);
    expect(await source.clock()).toMatchObject({ seq: [0, 1, 2, 3, 4, 5, 6, 7, 8] });
    expect(await source.lock(RUN, 'l1')).toMatchObject({ name: 'approval', open: false, lease: { by: 'bob' }, data: { text: 'draft' } });
    await expect(source.lock(RUN, 'l2')).rejects.toThrow('no question l2');
    await expect(source.run('another')).rejects.toThrow(`The file has the run ${RUN} only`);
    await expect(source.cancel()).rejects.toThrow('nothing of it can be changed');
    const followed = [];
    for await (const item of source.follow(RUN, 8, new AbortController().signal)) followed.push(item);
    expect(followed).toEqual([{ end: { status: 'finished', last_seq: 8 } }]);
  });
});

describe('a file', () => {
  let place: HTMLElement;
  let controller: AbortController;
  beforeEach(() => {
    place = document.createElement('div');
    place.className = 'kl';
    document.body.append(place);
    controller = new AbortController();
  });
  afterEach(() => {
    controller.abort();
    place.remove();
  });
  const button = (name: string): HTMLButtonElement | undefined => [...place.querySelectorAll('button')].find((one) => one.textContent === name);

  it('with one run shows it, complete and with nothing to do', async () => {
    mountSaved(place, new ExportedSource(readExport(file())), { name: 'a.kodosumi-run.json', nbytes: 2048, runs: 1, run_id: RUN }, controller.signal, {});
    await until(() => place.textContent.includes('complete · 9 events'), 'the run');
    expect(place.querySelector('.kl-saved-head')!.textContent).toContain('a.kodosumi-run.json');
    expect(place.querySelector('.kl-run')!.textContent).toContain('a piece');
    expect(button('all runs')).toBeUndefined();
  });

  it('with several runs lists them, and opens one in its place', async () => {
    const exported = new ExportedSource(readExport(file()));
    const row = { ...(await exported.run(RUN)), status: 'running', ended: null };
    exported.raw = () => Promise.resolve(reply(200, JSON.stringify({ items: [row], total: 2, next: null })));
    mountSaved(place, exported, { name: 'a.parquet', nbytes: 5, runs: 2, run_id: null }, controller.signal, { openRun: () => expect.fail('another log') });
    await until(() => place.querySelector('tbody tr'), 'the list');
    expect(place.querySelector('.kl-runs')!.getAttribute('data-frozen')).toBe('true');
    // it was open when it was written, and has come no further since
    expect(place.querySelector('td.kl-runs-duration')!.textContent).toBe('1.0 s');
    place.querySelector<HTMLElement>('tbody tr button')!.click();
    await until(() => place.querySelector('.kl-run-main:not([hidden])'), 'the run');
    expect(document.activeElement?.textContent).toBe('‹ all runs of the file');
    button('‹ all runs of the file')!.click();
    await until(() => place.querySelector('tbody tr'), 'the list again');
  });

  it('without events says so', () => {
    mountSaved(place, new ExportedSource(readExport(file())), { name: 'a.parquet', nbytes: 5, runs: 0, run_id: null }, controller.signal, {});
    expect(place.textContent).toContain('This file has no events.');
  });
});

describe('a Parquet', () => {
  it('is called by its path, in any script', () => {
    expect(keyOf('a/b.parquet')).toBe('YS9iLnBhcnF1ZXQ');
    expect(keyOf('ü?~ÿ.parquet')).toMatch(/^[\w-]+$/);
  });

  it('is explained where the gateway knows no files', async () => {
    const told = (kind: string): string => JSON.stringify({ type: `urn:kodosumi-lab:problem:${kind}`, title: '', status: 404, detail: 'there is no file b.parquet' });
    const open = (kind: string): Promise<OpenedSource> => OpenedSource.open(new Source(new Scripted(() => reply(404, told(kind)))), 'b.parquet', new AbortController().signal);
    await expect(open('not-found')).rejects.toThrow('This gateway does not read the files of the Jupyter server');
    await expect(open('file-not-found')).rejects.toThrow('there is no file b.parquet');
  });

  it('is asked for page by page, below its own address', async () => {
    const transport = new Scripted(({ path }) =>
      path.includes('/window') ? reply(200, arrowOf([{ seq: 5 }]), { 'x-offset': '5', 'x-total': '9', 'x-last-seq': '8' }) : reply(200, JSON.stringify({ name: 'b.parquet', nbytes: 5, runs: 2, run_id: null })));
    const opened = await OpenedSource.open(new Source(transport), 'a/b.parquet', new AbortController().signal);
    expect(opened.about.runs).toBe(2);
    expect((await opened.window(RUN, {}, 5, 1)).total).toBe(9);
    await opened.asset('bokeh.min.js');
    expect(transport.asked.map(({ path }) => path.split('?')[0])).toEqual([
      '/api/v1/opened/YS9iLnBhcnF1ZXQ', `/api/v1/opened/YS9iLnBhcnF1ZXQ/runs/${RUN}/window`, '/api/v1/assets/bokeh.min.js',
    ]);
  });
});
