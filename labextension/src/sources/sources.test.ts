import { describe, expect, it, vi } from 'vitest';
import { Scripted, arrowOf, frame, reply } from './_testing.ts';
import { CommTransport, type Model } from './comm.ts';
import { EventTable, framesOf } from './events.ts';
import { Failover } from './failover.ts';
import { Refusal, Source } from './source.ts';
import { Unreachable } from './transport.ts';
import { Value } from './value.ts';

const three = [0, 1, 2].map((seq) => ({ seq, ts: 1000 + seq, payload: JSON.stringify(`line ${seq}`) }));

async function* inPieces(bytes: Uint8Array<ArrayBuffer>, size: number): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for (let at = 0; at < bytes.length; at += size) {
    await Promise.resolve();
    yield bytes.slice(at, at + size);
  }
}

describe('events', () => {
  it('come out of an Arrow stream as they went in', () => {
    const table = EventTable.from(arrowOf([{ seq: 7, ts: 1234.5, kind: 'result', agent: 'a', attempt: 2, payload: '{"x":1}' }]));
    expect([...table]).toEqual([{ seq: 7, ts: expect.closeTo(1234.5, 2) as number, kind: 'result', agent: 'a', attempt: 2, payload: '{"x":1}' }]);
  });

  it.each([1, 3, 5, 64, 100_000])('are cut into frames wherever the bytes break (%i)', async (size) => {
    const parts = [frame(arrowOf(three)), frame(''), frame('{"end":{"status":"finished","last_seq":2}}')];
    const all = new Uint8Array(await new Blob(parts).arrayBuffer());
    const found = [];
    for await (const one of framesOf(inPieces(all, size))) found.push(one instanceof EventTable ? one.length : one);
    expect(found).toEqual([3, null, { end: { status: 'finished', last_seq: 2 } }]);
  });
});

describe('following', () => {
  const end = frame('{"end":{"status":"finished","last_seq":5}}');
  const some = (...seqs: number[]): Uint8Array => frame(arrowOf(seqs.map((seq) => ({ seq }))));

  async function followed(source: Source): Promise<unknown[]> {
    const found: unknown[] = [];
    for await (const one of source.follow('r', -1, new AbortController().signal)) {
      found.push('events' in one ? [...one.events].map((event) => event.seq) : one);
    }
    return found;
  }

  it('goes on after a broken connection where it was, and repeats nothing', async () => {
    const answers = [reply(200, [some(0, 1, 2)]), reply(502, 'away'), reply(200, [some(1, 2), some(3, 4, 5), end])];
    const transport = new Scripted(() => answers.shift()!);
    const source = new Source(transport);
    const states: string[] = [];
    source.connection.watch((state) => states.push(state), new AbortController().signal);
    const last = { end: { status: 'finished', last_seq: 5 } };
    expect(await followed(source)).toEqual([[0, 1, 2], [3, 4, 5], last]);
    expect(transport.asked.map((request) => request.path.split('?')[1])).toEqual(['after=-1', 'after=2', 'after=2']);
    expect(states).toEqual(['connecting', 'live', 'lost', 'live']);
  });

  it('tells of a hole between events', async () => {
    const source = new Source(new Scripted(() => reply(200, [some(0), some(3, 4, 5), end])));
    expect((await followed(source))[1]).toEqual({ gap: { from: 1, to: 2 } });
  });

  it('ends with a refusal, such as of a run that is not there', async () => {
    const problem = JSON.stringify({ type: 'urn:kodosumi-lab:problem:run-not-found', title: '', status: 404, detail: 'no run r' });
    await expect(followed(new Source(new Scripted(() => reply(404, problem))))).rejects.toThrow('no run r');
  });

  it('ends with its signal', async () => {
    const controller = new AbortController();
    const source = new Source(new Scripted(() => Promise.reject(new Unreachable('down'))));
    const ended = (async () => {
      const first = await source.follow('r', -1, controller.signal).next();
      return first.done;
    })();
    controller.abort();
    expect(await ended).toBe(true);
  });
});

describe('a source', () => {
  it('asks with repeated parameters, and leaves out what is not asked', async () => {
    const transport = new Scripted(() => reply(200, arrowOf(three), { 'x-offset': '5', 'x-total': '8', 'x-last-seq': '40' }));
    const window = await new Source(transport).window('r', { kinds: ['stdout', 'log'], agents: [''] }, -3, 3);
    expect(transport.asked[0]!.path).toBe('/api/v1/runs/r/window?kind=stdout&kind=log&agent=&offset=-3&limit=3');
    expect([window.offset, window.total, window.lastSeq, window.events.length]).toEqual([5, 8, 40, 3]);
  });

  it('words a refusal as the gateway does, with messages for each field', async () => {
    const problem = { type: 'urn:kodosumi-lab:problem:inputs', title: '', status: 422, detail: 'no', errors: { end: ['is too small'] } };
    const source = new Source(new Scripted(() => reply(422, JSON.stringify(problem))));
    const error = await source.validate('a/b c', { end: '0' }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(Refusal);
    expect((error as Refusal).errors).toEqual({ end: ['is too small'] });
    expect((error as Refusal).kind).toBe('inputs');
  });
});

describe('failover', () => {
  it('reads by another way where one does not answer, and stays there', async () => {
    const first = new Scripted(() => Promise.reject(new Unreachable('down')), 'first');
    const second = new Scripted(() => reply(200, 'ok'), 'second');
    const ways = new Failover([first, second]);
    expect((await ways.send({ method: 'GET', path: '/' })).status).toBe(200);
    expect(ways.name).toBe('second');
    await ways.send({ method: 'GET', path: '/' });
    expect([first.asked.length, second.asked.length]).toEqual([1, 2]);
  });

  it('asks again by a better way what has no answer yet, and gives up on the first', async () => {
    let given: AbortSignal | undefined;
    const busy = new Scripted((request) => {
      given = request.signal;
      return new Promise(() => undefined);
    });
    const ways = new Failover([busy]);
    const answer = ways.send({ method: 'GET', path: '/' });
    ways.prefer(new Scripted(() => reply(200, 'ok')));
    expect((await answer).status).toBe(200);
    expect(given?.aborted).toBe(true);
  });

  it('looks for the better way again while another one stands in, and takes it', async () => {
    const controller = new AbortController();
    let down = true;
    const http = new Scripted(() => (down ? Promise.reject(new Unreachable('down')) : reply(200, 'ok')), 'http');
    const busy = new Scripted(() => new Promise(() => undefined), 'comm');
    const ways = new Failover([http, busy], controller.signal);
    const answer = ways.send({ method: 'GET', path: '/' });
    await new Promise((resolve) => setTimeout(resolve, 20));
    down = false;
    expect((await answer).status).toBe(200);
    expect(ways.name).toBe('http');
    expect(http.asked.map((request) => request.path)).toEqual(['/', '/api/v1/health', '/']);
    controller.abort();
  });

  it('never repeats what acts: it may have happened', async () => {
    const second = new Scripted(() => reply(200, 'ok'));
    const ways = new Failover([new Scripted(() => Promise.reject(new Unreachable('down'))), second]);
    await expect(ways.send({ method: 'POST', path: '/' })).rejects.toThrow('down');
    expect(second.asked).toEqual([]);
  });
});

/** The kernel's side of a comm, as far as these tests need it: what was sent, and a way to answer. */
class Comm implements Model {
  readonly sent: Record<string, unknown>[] = [];
  readonly state: Record<string, unknown> = {};
  private listener: ((...args: unknown[]) => void) | null = null;
  send?: Model['send'];
  readonly others: Record<string, ((...args: unknown[]) => void) | undefined> = {};

  constructor(sends = true) {
    if (sends) this.send = (content) => this.sent.push(content as Record<string, unknown>);
  }

  get(name: string): unknown {
    return this.state[name];
  }

  set(name: string, value: unknown): void {
    this.state[name] = value;
  }

  save_changes(): void {
    this.sent.push(structuredClone(this.state));
  }

  on(name: string, listener: (...args: unknown[]) => void): void {
    if (name === 'msg:custom') this.listener = listener;
    else this.others[name] = listener;
  }

  off(name: string): void {
    if (name === 'msg:custom') this.listener = null;
    else this.others[name] = undefined;
  }

  tell(message: object): void {
    this.listener?.(message, []);
  }

  answer(id: unknown, text: string, more = false, asMap = false): void {
    const message = { t: 'reply', id, status: 200, headers: { 'x-total': '3' }, more };
    const buffer = new TextEncoder().encode(text).buffer;
    if (asMap) this.listener?.(new Map(Object.entries({ ...message, buffers: [buffer] })));
    else this.listener?.(message, [new DataView(buffer)]);
  }
}

describe('a comm', () => {
  const signal = new AbortController().signal;

  it('carries requests and answers in pieces', async () => {
    const comm = new Comm();
    const asked = new CommTransport(comm, signal).send({ method: 'GET', path: '/a' });
    comm.answer(comm.sent[0]!['id'], 'on', true);
    const told = await asked;
    comm.answer(comm.sent[0]!['id'], 'e');
    expect(told.header('X-Total')).toBe('3');
    expect(new TextDecoder().decode(await told.bytes())).toBe('one');
  });

  it('tells the kernel when nobody wants an answer any more', async () => {
    const comm = new Comm();
    const controller = new AbortController();
    const asked = new CommTransport(comm, signal).send({ method: 'GET', path: '/a', signal: controller.signal });
    controller.abort();
    await expect(asked).rejects.toThrow('aborted');
    expect(comm.sent[1]).toMatchObject({ t: 'abort', id: comm.sent[0]!['id'] });
  });

  it('gives up on a kernel that does not answer', async () => {
    await expect(new CommTransport(new Comm(), signal, 10).send({ method: 'GET', path: '/a' })).rejects.toBeInstanceOf(Unreachable);
  });

  it('waits for a kernel that says it is still at it', async () => {
    const comm = new Comm();
    const asked = new CommTransport(comm, signal, 60).send({ method: 'POST', path: '/a' });
    const id = comm.sent[0]!['id'];
    for (let i = 0; i < 4; i++) {
      await new Promise((resolve) => setTimeout(resolve, 30));
      comm.tell({ t: 'wait', id });
    }
    comm.answer(id, 'late');
    expect((await asked).status).toBe(200);
  });

  it('takes a stream without a heartbeat for broken off', async () => {
    const comm = new Comm();
    const asked = new CommTransport(comm, signal, 60).send({ method: 'GET', path: '/follow' });
    const id = comm.sent[0]!['id'];
    comm.answer(id, 'one', true);
    const heard: string[] = [];
    const over = (async () => {
      for await (const piece of (await asked).chunks()) heard.push(new TextDecoder().decode(piece));
    })();
    await new Promise((resolve) => setTimeout(resolve, 40));
    comm.answer(id, 'two', true);
    await expect(over).rejects.toMatchObject({ name: 'Unreachable', who: 'the kernel' });
    expect(heard).toEqual(['one', 'two']);
  });

  it('asks a kernel that is said to have gone, and gives up what it was asked before', async () => {
    vi.useFakeTimers();
    const comm = new Comm();
    const asked = new CommTransport(comm, signal).send({ method: 'GET', path: '/a' });
    const refused = expect(asked).rejects.toMatchObject({ message: 'the kernel is gone' });
    vi.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => {
      const over = new AbortController();
      setTimeout(() => over.abort(), ms);
      return over.signal;
    });
    comm.others['comm_live_update']!();
    expect(comm.sent.map((one) => one['path'])).toEqual(['/a', '/api/v1/health']);
    await vi.advanceTimersByTimeAsync(3_000);
    await refused;
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  it('keeps what was asked of a kernel that is there after all', async () => {
    const comm = new Comm();
    const asked = new CommTransport(comm, signal).send({ method: 'GET', path: '/a' });
    comm.others['comm_live_update']!();
    comm.answer(comm.sent[1]!['id'], '{}');
    comm.answer(comm.sent[0]!['id'], 'fine');
    expect((await asked).status).toBe(200);
  });

  it('counts as no other page does', () => {
    const comm = new Comm();
    void new CommTransport(comm, signal).send({ method: 'GET', path: '/a' }).catch(() => null);
    expect(comm.sent[0]!['id']).toBeGreaterThan(1000);
  });

  it('that has ended with its kernel reaches nothing, and nobody who has gone hears of it', async () => {
    const comm = new Comm();
    const asked = new AbortController();
    const open = new CommTransport(comm, signal).send({ method: 'GET', path: '/a', signal: asked.signal });
    comm.send = () => {
      throw new Error('Cannot send');
    };
    await expect(new CommTransport(comm, signal).send({ method: 'GET', path: '/b' })).rejects.toBeInstanceOf(Unreachable);
    asked.abort();
    await expect(open).rejects.toThrow('aborted');
  });

  it('goes through a trait where the host has no send', async () => {
    const comm = new Comm(false);
    const transport = new CommTransport(comm, signal);
    const first = transport.send({ method: 'POST', path: '/a', body: new Uint8Array([1, 2, 255]) });
    void transport.send({ method: 'GET', path: '/b' }).catch(() => null);
    const outbox = comm.sent[1]!['_outbox'] as { items: { id: number; path: string; base64?: string }[] };
    expect(outbox.items.map((item) => [item.path, item.base64])).toEqual([['/a', 'AQL/'], ['/b', undefined]]);
    comm.answer(outbox.items[0]!.id, 'one', false, true);
    expect(new TextDecoder().decode(await (await first).bytes())).toBe('one');
    const unwanted = new AbortController();
    void transport.send({ method: 'GET', path: '/c', signal: unwanted.signal }).catch(() => null);
    unwanted.abort();
    const now = comm.sent.at(-1)!['_outbox'] as { items: { t: string; path?: string }[] };
    expect(now.items.map((item) => [item.t, item.path])).toEqual([['request', '/b'], ['abort', undefined]]);
  });
});

it('a value tells its watchers of changes, until their signal', () => {
  const value = new Value(1);
  const controller = new AbortController();
  const seen: number[] = [];
  value.watch((now) => seen.push(now), controller.signal);
  value.set(2);
  value.set(2);
  controller.abort();
  value.set(3);
  expect(seen).toEqual([1, 2]);
});
