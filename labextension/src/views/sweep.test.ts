import { afterEach, describe, expect, it } from 'vitest';
import { Scripted, reply } from '../sources/_testing.ts';
import { Source } from '../sources/source.ts';
import type { SweepInfo, SweepRow } from '../wire.ts';
import { until } from './_testing.ts';
import { mountSweep } from './sweep.ts';

let life = new AbortController();

afterEach(() => {
  life.abort();
  life = new AbortController();
  document.body.replaceChildren();
});

function row(index: number, inputs: Record<string, string>, more: Partial<SweepRow> = {}): SweepRow {
  return { index, inputs, run_id: null, status: null, progress: null, running: null, ended: null, result: null, error: null, ...more };
}

function sweep(over: string[], rows: SweepRow[], more: Partial<SweepInfo> = {}): SweepInfo {
  const counts: Record<string, number> = {};
  for (const { status } of rows) counts[status ?? 'waiting'] = (counts[status ?? 'waiting'] ?? 0) + 1;
  return { id: '5e4', flow: 'gaps', over, zipped: false, starting: false, failure: '', counts, total: rows.length, rows, ...more };
}

function shown(info: () => SweepInfo): { transport: Scripted; opened: string[] } {
  const opened: string[] = [];
  const transport = new Scripted((request) => reply(200, JSON.stringify(request.method === 'POST' ? { runs: 2 } : info())));
  mountSweep(document.body, new Source(transport), { sweepId: '5e4' }, life.signal, { openRun: (id) => opened.push(id) });
  return { transport, opened };
}

const button = (name: string): HTMLButtonElement | undefined =>
  [...document.querySelectorAll('button')].find((one) => !one.hidden && (one.textContent === name || one.getAttribute('aria-label') === name));

const four = (): SweepRow[] => [
  row(0, { end: '1', key: 'a' }, { run_id: 'run-a', status: 'finished', result: '7' }),
  row(1, { end: '1', key: 'b' }, { run_id: 'run-b', status: 'running', progress: 0.5 }),
  row(2, { end: '2', key: 'a' }),
  row(3, { end: '2', key: 'b' }),
];

describe('mountSweep', () => {
  it('draws two inputs that are multiplied as a grid, whose cells open their run', async () => {
    const { opened } = shown(() => sweep(['end', 'key'], four(), { starting: true }));
    await until(() => document.querySelector('[role=status]')!.textContent === '1 of 4: 1 running, 1 finished, 2 waiting');
    expect([...document.querySelectorAll('tbody th')].map((one) => one.textContent)).toEqual(['1', '2']);
    button('end 1, key a: finished, 7')!.click();
    expect(opened).toEqual(['run-a']);
    expect(button('end 2, key a: waiting')!.disabled).toBe(true);
    expect(button('Start the rest')).toBeUndefined(); // somebody does
    expect(button('Run failed ones again')).toBeUndefined();
  });

  it.each([
    ['side by side', sweep(['end', 'key'], four(), { zipped: true })],
    ['over one input', sweep(['end'], [row(0, { end: '1' })])],
    ['with a hole', sweep(['end', 'key'], four().slice(0, 3))],
    ['with two combinations that look alike', sweep(['end', 'key'], [...four().slice(0, 3), row(3, { end: '1', key: 'a' })])],
  ])('draws a sweep %s as a list', async (_, info) => {
    shown(() => info);
    await until(() => document.querySelector('.kl-sweep-list tbody') !== null);
    expect(document.querySelectorAll('.kl-sweep-list tbody tr').length).toBe(info.rows.length);
    expect(document.querySelector('.kl-sweep-grid')).toBeNull();
  });

  it('asks to cancel and to go on, and says what came of it', async () => {
    const { transport } = shown(() => sweep(['end', 'key'], four()));
    await until(() => button('Cancel the rest') !== undefined);
    button('Cancel the rest')!.click();
    await until(() => document.body.textContent.includes('2 runs cancelled; no more are started'));
    button('Start the rest')!.click();
    await until(() => document.body.textContent.includes('2 runs begun'));
    expect(transport.asked.filter((one) => one.method === 'POST').map((one) => one.path)).toEqual(['/api/v1/sweeps/5e4/cancel', '/api/v1/sweeps/5e4/resume']);
  });

  it('tells why the rest was not started', async () => {
    shown(() => sweep(['end'], [row(0, { end: '1' })], { failure: 'no cluster' }));
    await until(() => document.body.textContent.includes('The rest was not started: no cluster'));
  });

  it('changes cells in place', async () => {
    const rows = four();
    shown(() => sweep(['end', 'key'], rows));
    await until(() => document.querySelector('.kl-sweep-grid') !== null);
    const before = document.querySelectorAll('.kl-sweep-cell')[1]!;
    rows[1] = { ...rows[1]!, status: 'error', error: 'E: no' };
    await until(() => before.textContent.startsWith('error'), 'an error', 4000);
    expect(document.querySelectorAll('.kl-sweep-cell')[1]).toBe(before);
    expect(button('Run failed ones again')).toBeDefined();
  });
});
