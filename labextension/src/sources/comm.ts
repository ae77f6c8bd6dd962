// Requests over a widget's comm: the kernel answers them with the same application that serves HTTP.

import { type Reply, type Request, type Transport, Unreachable } from './transport.ts';

/** What a host gives a widget; Panel's has no `send`. */
export interface Model {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  on(event: string, listener: (...args: unknown[]) => void): void;
  off(event: string, listener: (...args: unknown[]) => void): void;
  send?(content: unknown, callbacks?: unknown, buffers?: ArrayBuffer[]): void;
}

/** One piece of an answer; `more` says that another will follow. `wait` says that it takes a while. */
interface Message {
  t: 'reply' | 'wait';
  id: number;
  status: number;
  headers: Record<string, string>;
  more: boolean;
  buffers?: unknown[];
}

/** What goes to the kernel. */
interface Posted {
  t: 'request' | 'abort';
  id: number;
  [key: string]: unknown;
}

interface Pending {
  /** Asks only: may be asked again. */
  readonly asks: boolean;
  wait(): void;
  fail(error: Error): void;
  take(message: Message, data: Uint8Array<ArrayBuffer>): void;
}

/** A kernel that is said to have gone may only have been asked to come back. */
const PROBE_MS = 3_000;
const KERNEL = 'the kernel';

// Several pages may share one comm, and a page that was reloaded may still be answered: no two count alike.
let counter = Math.floor(Math.random() * 2 ** 48);

export class CommTransport implements Transport {
  readonly name = 'comm';
  private readonly pending = new Map<number, Pending>();
  private outbox: Posted[] = [];
  /** How often the kernel has said anything. */
  private heard = 0;

  constructor(
    private readonly model: Model,
    signal: AbortSignal,
    private readonly timeoutMs = 30_000,
  ) {
    const listener = (message: unknown, buffers: unknown): void => this.receive(message, buffers);
    // ipywidgets says so when a kernel is restarted or has died, and when it is there again
    const doubt = (): void => void this.probe(signal);
    const heard: [string, (...args: unknown[]) => void][] = [['msg:custom', listener]];
    if (model.send) heard.push(['comm_live_update', doubt], ['comm:close', doubt]); // other hosts complain of names they do not know
    for (const [name, act] of heard) {
      model.on(name, act);
      signal.addEventListener('abort', () => model.off(name, act), { once: true });
    }
  }

  /** Whether the kernel still answers; if not, nothing that was asked will be. */
  private async probe(signal: AbortSignal): Promise<void> {
    const asked = [...this.pending.values()].filter((one) => one.asks);
    const { heard } = this;
    const over = AbortSignal.any([signal, AbortSignal.timeout(PROBE_MS)]);
    try {
      await this.send({ method: 'GET', path: '/api/v1/health', signal: over });
    } catch {
      if (!signal.aborted && this.heard === heard) for (const one of asked) one.fail(new Unreachable('the kernel is gone', KERNEL));
    }
  }

  url(): null {
    return null;
  }

  send(request: Request): Promise<Reply> {
    const id = ++counter;
    const { signal, body, ...rest } = request;
    return new Promise((resolve, reject) => {
      const queue = new Queue();
      let answered = false;
      const late = (): void => {
        this.tell({ t: 'abort', id }); // it may only be slow
        fail(new Unreachable('the kernel has not answered', KERNEL));
      };
      let timer = setTimeout(late, this.timeoutMs);
      const fail = (error: Error): void => {
        clearTimeout(timer);
        this.pending.delete(id);
        if (answered) queue.fail(error);
        else reject(error);
      };
      const wait = (): void => {
        clearTimeout(timer);
        timer = setTimeout(late, this.timeoutMs);
      };
      signal?.addEventListener('abort', () => {
        if (this.pending.has(id)) this.tell({ t: 'abort', id });
        fail(new DOMException('aborted', 'AbortError'));
      });
      this.pending.set(id, {
        asks: request.method === 'GET',
        wait,
        fail,
        take: (message, data) => {
          wait(); // what is followed has a heartbeat
          queue.put(data);
          if (!message.more) {
            clearTimeout(timer);
            this.pending.delete(id);
            queue.end();
          }
          if (answered) return;
          answered = true;
          resolve({
            status: message.status,
            header: (name) => message.headers[name.toLowerCase()] ?? null,
            chunks: () => queue,
            bytes: () => joined(queue),
          });
        },
      });
      const text = typeof body === 'string' ? body : undefined;
      const problem = this.tell({ t: 'request', id, ...rest, body: text }, body instanceof Uint8Array ? body : undefined);
      if (problem) fail(problem);
    });
  }

  /** Send it; what is wrong where the comm has ended with its kernel. */
  private tell(content: Posted, data?: Uint8Array<ArrayBuffer>): Unreachable | null {
    try {
      this.post(content, data);
      return null;
    } catch (error) {
      return new Unreachable(String(error), KERNEL);
    }
  }

  private post(content: Posted, data?: Uint8Array<ArrayBuffer>): void {
    if (this.model.send) {
      this.model.send(content, undefined, data ? [data.slice().buffer] : []);
      return;
    }
    // A trait keeps its last value only, so it carries everything that is not answered yet.
    if (content.t === 'abort') this.settle(content.id);
    // as JSON has it: such a host takes no undefined
    this.outbox.push(JSON.parse(JSON.stringify(data ? { ...content, base64: base64(data) } : content)) as typeof content);
    this.outbox.splice(0, Math.max(0, this.outbox.length - 50));
    this.model.set('_outbox', { n: ++counter, items: [...this.outbox] });
    this.model.save_changes();
  }

  /** What was answered, or is not wanted any more, need not travel again: it may hold a piece of a file. */
  private settle(id: number): void {
    this.outbox = this.outbox.filter((item) => item.id !== id);
  }

  private receive(raw: unknown, given: unknown): void {
    const message = (raw instanceof Map ? Object.fromEntries(raw) : raw) as Partial<Message> & Omit<Message, 't'>;
    this.heard++;
    if (message.t === 'wait') this.pending.get(message.id)?.wait();
    if (message.t !== 'reply') return;
    this.settle(message.id);
    const buffers = Array.isArray(given) && given.length > 0 ? given : (message.buffers ?? []);
    this.pending.get(message.id)?.take(message as Message, bytesOf(buffers[0]));
  }
}

/** A copy of a binary buffer; it may come from another realm, where `instanceof` does not hold. */
function bytesOf(value: unknown): Uint8Array<ArrayBuffer> {
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength).slice();
  if (Object.prototype.toString.call(value) === '[object ArrayBuffer]') return new Uint8Array(value as ArrayBuffer);
  return new Uint8Array(0);
}

function base64(data: Uint8Array): string {
  let text = '';
  for (let i = 0; i < data.length; i += 0x8000) text += String.fromCharCode(...data.subarray(i, i + 0x8000));
  return btoa(text);
}

async function joined(parts: AsyncIterable<Uint8Array<ArrayBuffer>>): Promise<Uint8Array<ArrayBuffer>> {
  const all: Uint8Array[] = [];
  for await (const part of parts) all.push(part);
  const result = new Uint8Array(all.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of all) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

/** What has come and was not taken yet, in order. */
class Queue implements AsyncIterable<Uint8Array<ArrayBuffer>> {
  private readonly items: Uint8Array<ArrayBuffer>[] = [];
  private error: Error | null = null;
  private ended = false;
  private wake: (() => void) | null = null;

  put(item: Uint8Array<ArrayBuffer>): void {
    if (item.length > 0) this.items.push(item);
    this.wake?.();
  }

  end(): void {
    this.ended = true;
    this.wake?.();
  }

  fail(error: Error): void {
    this.error = error;
    this.wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    for (;;) {
      const item = this.items.shift();
      if (item) {
        yield item;
        continue;
      }
      if (this.error) throw this.error;
      if (this.ended) return;
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }
}
