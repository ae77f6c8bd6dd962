// For tests only: a gateway of one run, whose events a test writes. It answers as the routes do, in their bytes.

import { Scripted, arrowOf, frame, reply } from '../sources/_testing.ts';
import type { Event } from '../sources/events.ts';
import { Source } from '../sources/source.ts';
import type { Reply, Request } from '../sources/transport.ts';
import type { RunDetail } from '../wire.ts';

export const RUN = '01990000-0000-7000-8000-0000000000a3';

export type Said = [kind: Event['kind'], payload: unknown, more?: Partial<Event>];

/** The run that a test writes, and the requests that came. */
export class Stage {
  readonly events: Event[] = [];
  readonly transport: Scripted;
  readonly source: Source;
  row: Partial<RunDetail> = {};
  /** What an overview leaves out. */
  inOverview = (event: Event): boolean => event.kind !== 'stdout';
  /** Answers of further routes, by `METHOD /path`. */
  readonly routes: Record<string, (request: Request) => Reply> = {};
  private readonly streams = new Set<{ put(bytes: Uint8Array<ArrayBuffer>): void; end(): void }>();

  constructor(...said: Said[]) {
    this.transport = new Scripted((request) => {
      request.signal?.throwIfAborted();
      return this.answer(request);
    });
    this.source = new Source(this.transport);
    this.say(...said);
  }

  /** Write events; live streams get them in one frame. */
  say(...said: Said[]): void {
    const made = said.map(([kind, payload, more], i): Event => {
      const seq = this.events.length + i;
      return { seq, ts: 1_790_000_000_000 + seq * 1000, kind, agent: null, attempt: 1, payload: JSON.stringify(payload), ...more };
    });
    this.events.push(...made);
    if (made.length > 0) for (const stream of this.streams) stream.put(frame(arrowOf(made)));
  }

  /** Tell the streams that nothing comes any more. */
  end(status = 'finished'): void {
    for (const stream of this.streams) stream.put(frame(JSON.stringify({ end: { status, last_seq: this.last } })));
    this.breakOff();
  }

  /** The connection is gone. */
  breakOff(): void {
    for (const stream of this.streams) stream.end();
    this.streams.clear();
  }

  get last(): number {
    return this.events.at(-1)?.seq ?? -1;
  }

  asked(part: string): Request[] {
    return this.transport.asked.filter((request) => `${request.method} ${request.path}`.includes(part));
  }

  private answer(request: Request): Reply {
    const [path = '', query = ''] = request.path.split('?');
    const route = path.replace(`/api/v1/runs/${RUN}`, '');
    const own = this.routes[`${request.method} ${route}`];
    if (own) return own(request);
    const asked = new URLSearchParams(query);
    const last = { 'x-last-seq': String(this.last), 'x-total': String(this.last + 1) };
    if (route === '') return reply(200, JSON.stringify(this.detail()));
    if (route === '/api/v1/runs') return reply(200, JSON.stringify({ items: [], total: 0, next: null }));
    if (route === '/overview') return reply(200, arrowOf(this.events.filter((event) => this.inOverview(event))), last);
    if (route === '/window') return this.window(asked, last);
    if (route === '/frames') return this.frames(Number(asked.get('after')));
    return reply(404, JSON.stringify({ type: 'urn:kodosumi-lab:problem:not-found', title: '', status: 404, detail: `no ${route}` }));
  }

  private detail(): RunDetail {
    const started = new Date(this.events[0]?.ts ?? 0).toISOString();
    return {
      run_id: RUN, flow: 'primes', status: 'running', reason: '', started, running: started, ended: null, updated: started,
      progress: null, progress_text: null, result: null, error: null, attempt: 1, events: this.events.length, nbytes: 0,
      last_seq: this.last, active_s: 0, locks: [], user: 'ada', parent: null, tags: [], summary: '', author: '', version: '',
      entrypoint: 'flows:primes', place: null, meta: {}, inputs: {}, ...this.row,
    };
  }

  private window(asked: URLSearchParams, last: Record<string, string>): Reply {
    const kinds = asked.getAll('kind');
    const upto = Number(asked.get('upto') ?? Infinity);
    const fit = this.events.filter((event) => event.seq <= upto && (kinds.length === 0 || kinds.includes(event.kind)));
    const [offset, limit] = [Number(asked.get('offset')), Number(asked.get('limit'))];
    const first = offset < 0 ? Math.max(0, fit.length + offset) : offset;
    return reply(200, arrowOf(fit.slice(first, first + limit)), { ...last, 'x-offset': String(first), 'x-total': String(fit.length) });
  }

  private frames(after: number): Reply {
    const waiting: Uint8Array<ArrayBuffer>[] = [frame('')];
    const later = this.events.filter((event) => event.seq > after);
    if (later.length > 0) waiting.push(frame(arrowOf(later)));
    let over = false;
    let wake = (): void => undefined;
    this.streams.add({
      put: (bytes) => {
        waiting.push(bytes);
        wake();
      },
      end: () => {
        over = true;
        wake();
      },
    });
    return {
      ...reply(200, ''),
      chunks: async function* () {
        for (;;) {
          const next = waiting.shift();
          if (next) yield next;
          else if (over) return;
          else await new Promise<void>((resolve) => (wake = resolve));
        }
      },
    };
  }
}

/** Wait until this is so. */
export async function until(check: () => unknown, what = 'it', timeoutMs = 2000): Promise<void> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    if (check()) return;
    if (performance.now() > end) throw new Error(`${what} did not come about`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
