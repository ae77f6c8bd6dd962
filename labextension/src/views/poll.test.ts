import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Scripted, reply } from '../sources/_testing.ts';
import { Source } from '../sources/source.ts';
import { type Reply, type Request, Unreachable } from '../sources/transport.ts';
import { poll } from './poll.ts';

const controller = { current: new AbortController() };

beforeEach(() => {
  vi.useFakeTimers();
  controller.current = new AbortController();
});
afterEach(() => {
  controller.current.abort();
  vi.useRealTimers();
  vi.restoreAllMocks();
});

function polling(answer: (request: Request) => Reply | Promise<Reply>, path: () => string = () => '/x'): { taken: unknown[]; asked: Request[]; now: () => void } {
  const transport = new Scripted(answer);
  const taken: unknown[] = [];
  const now = poll(new Source(transport), path, (data) => taken.push(data), controller.current.signal);
  return { taken, asked: transport.asked, now };
}

describe('polling', () => {
  it('takes what has changed, and is told in a word that nothing has', async () => {
    let tag = '"1"';
    const { taken, asked } = polling((request) => (request.headers?.['if-none-match'] === tag ? reply(304, '') : reply(200, tag, { etag: tag })));
    await vi.advanceTimersByTimeAsync(2500);
    expect([asked.length, taken]).toEqual([3, ['1']]);
    tag = '"2"';
    await vi.advanceTimersByTimeAsync(1000);
    expect(taken).toEqual(['1', '2']);
  });

  it('asks less often while nobody looks, and at once when somebody does', async () => {
    const seen = vi.spyOn(document, 'visibilityState', 'get').mockReturnValue('hidden');
    const { asked } = polling(() => reply(200, '1'));
    await vi.advanceTimersByTimeAsync(14_000);
    expect(asked.length).toBe(1);
    seen.mockReturnValue('visible');
    document.dispatchEvent(new Event('visibilitychange'));
    await vi.advanceTimersByTimeAsync(10);
    expect(asked.length).toBe(2);
  });

  it('holds back while nobody answers, and goes on when somebody does', async () => {
    let down = true;
    const { taken, asked } = polling(() => {
      if (down) throw new Unreachable('down');
      return reply(200, '1');
    });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked.length).toBeLessThan(12);
    down = false;
    window.dispatchEvent(new Event('online'));
    await vi.advanceTimersByTimeAsync(10);
    expect(taken).toEqual([1]);
  });

  it('does not wait for ever for somebody who says nothing, and says so', async () => {
    let silent = true;
    const transport = new Scripted((request) =>
      silent ? new Promise((_, reject) => request.signal?.addEventListener('abort', () => reject(new DOMException('', 'AbortError')))) : reply(200, '1'),
    );
    const source = new Source(transport);
    const taken: unknown[] = [];
    poll(source, () => '/x', (data) => taken.push(data), controller.current.signal);
    await vi.advanceTimersByTimeAsync(10_100);
    expect(source.connection.get()).toBe('lost');
    silent = false;
    await vi.advanceTimersByTimeAsync(2000);
    expect([source.connection.get(), taken[0]]).toEqual(['live', 1]);
  });

  it('never takes an answer to a question that is no longer asked', async () => {
    let path = '/old';
    const pending: ((reply: Reply) => void)[] = [];
    const { taken, now } = polling((request) => (request.path === '/old' ? new Promise((resolve) => pending.push(resolve)) : reply(200, '"new"')), () => path);
    await vi.advanceTimersByTimeAsync(10);
    path = '/new';
    now();
    pending[0]!(reply(200, '"old"'));
    await vi.advanceTimersByTimeAsync(10);
    expect(taken).toEqual(['new']);
  });

  it('ends with its signal', async () => {
    const { asked } = polling(() => reply(200, '1'));
    await vi.advanceTimersByTimeAsync(10);
    controller.current.abort();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(asked.length).toBe(1);
  });
});
