import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Scripted, reply } from '../sources/_testing.ts';
import { Source } from '../sources/source.ts';
import type { RunRow } from '../wire.ts';
import { until } from './_testing.ts';
import { mountRunList } from './runlist.ts';

const rows = (n: number, status: RunRow['status'] = 'running'): RunRow[] =>
  Array.from({ length: n }, (_, i) => ({
    run_id: `run-${i}`, flow: `flow ${i}`, status, reason: '', started: '2026-11-22T10:00:00Z', progress: i / n, progress_text: `step ${i}`, locks: [],
    active_s: 3, error: null, result: null, place: null,
  }) as unknown as RunRow);

let life = new AbortController();

beforeEach(() => {
  globalThis.ResizeObserver = class {
    observe(): void { /* jsdom has no layout */ }
    unobserve(): void { /* nor this */ }
    disconnect(): void { /* nor this */ }
  };
  vi.spyOn(HTMLElement.prototype, 'clientWidth', 'get').mockReturnValue(250);
  vi.spyOn(HTMLElement.prototype, 'clientHeight', 'get').mockReturnValue(460);
});

afterEach(() => {
  life.abort();
  life = new AbortController();
  document.body.replaceChildren();
  vi.restoreAllMocks();
});

function shown(items: () => RunRow[]): { transport: Scripted; open: string[]; wake: () => void } {
  const transport = new Scripted((request) => {
    const limit = Number(new URL(request.path, 'http://x').searchParams.get('limit'));
    return reply(200, JSON.stringify({ items: items().slice(0, limit), total: items().length, next: null }));
  });
  const open: string[] = [];
  let wake = (): void => undefined;
  mountRunList(document.body, new Source(transport), { waking: (asked) => (wake = asked) }, life.signal, { openRun: (id) => open.push(id) });
  return { transport, open, wake: () => wake() };
}

const list = (): HTMLElement => document.querySelector<HTMLElement>('.kl-list')!;

describe('the narrow list of runs', () => {
  it('draws the rows in sight, however many there are', async () => {
    shown(() => rows(1000));
    await until(() => document.querySelector('.kl-runlist-row'));
    expect(document.querySelectorAll('.kl-runlist-row').length).toBeLessThan(40);
    expect(document.querySelector('[data-run-id="run-0"]')?.textContent).toContain('flow 0');
    expect(document.querySelector('[role=status]')?.textContent).toBe('1,000');
  });

  it('changes a row in place, and opens it by key', async () => {
    let now = rows(3);
    const { open, wake } = shown(() => now);
    await until(() => document.querySelector('[data-run-id="run-1"]'));
    const row = document.querySelector('[data-run-id="run-1"]')!;
    now = rows(3, 'finished');
    wake();
    await until(() => row.querySelector('.kl-status')?.textContent === 'finished');
    expect(document.querySelector('[data-run-id="run-1"]')).toBe(row);
    list().dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowDown' }));
    list().dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter' }));
    expect(open).toEqual(['run-0']);
  });

  it('asks for those that are chosen and that fit, and says where none does', async () => {
    const { transport } = shown(() => []);
    await until(() => document.querySelector('.kl-empty')?.textContent.startsWith('No runs yet'));
    const choice = document.querySelector('select')!;
    choice.value = '1';
    choice.dispatchEvent(new Event('change'));
    await until(() => transport.asked.some(({ path }) => path.includes('status=awaiting')));
    await until(() => document.querySelector('.kl-empty')?.textContent === 'No run fits.');
    const words = document.querySelector('input')!;
    words.value = 'bees';
    words.dispatchEvent(new Event('input'));
    await until(() => transport.asked.some(({ path }) => path.includes('search=bees')));
  });

  it('ends with its signal', async () => {
    const { transport } = shown(() => rows(1));
    await until(() => document.querySelector('.kl-runlist-row'));
    life.abort();
    expect(document.body.children.length).toBe(0);
    const asked = transport.asked.length;
    await new Promise((resolve) => setTimeout(resolve, 1200));
    expect(transport.asked.length).toBe(asked);
  });
});
