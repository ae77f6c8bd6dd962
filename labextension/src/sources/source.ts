// What every view reads and acts through: runs, events, locks, files and flows of one log.
// The routes are those of the gateway, see docs/api.md.

import { type Comparison, type FlowInfo, type Kind, type OpenLock, type Problem, type RunDetail, type RunPage, type RunRow, TERMINAL } from '../wire.ts';
import { type End, EventTable, type Frame, framesOf } from './events.ts';
import { takePlace } from './places.ts';
import { type Reply, type Request, type Transport, Unreachable, aborted } from './transport.ts';
import { Value } from './value.ts';

const API = '/api/v1';
const ARROW = 'application/vnd.apache.arrow.stream';
// Not the frames' own type: jupyter-server-proxy passes an answer on as it comes only to who asks for exactly this.
const STREAM = 'text/event-stream';

/** Without a stream: how many events at once, and the pause between two looks. */
const GLIMPSE = 5000;
const GLIMPSE_MS = 1000;

/** A refusal, as the gateway words it; `errors` has messages for each field. */
export class Refusal extends Error {
  override name = 'Refusal';

  constructor(readonly problem: Problem) {
    super(problem.detail);
  }

  get errors(): Record<string, string[]> {
    return this.problem.errors ?? {};
  }

  /** The last word of the problem's type, such as `lock-closed`. */
  get kind(): string {
    return this.problem.type.split(':').pop() ?? '';
  }
}

/** One element of a form, as docs/forms.md lists them. */
export interface Element {
  type: string;
  name?: string | null;
  [key: string]: unknown;
}

export interface LockDetail {
  lid: string;
  name: string;
  data: unknown;
  expires: number | null;
  form: Element[] | null;
  open: boolean;
  lease: { result?: unknown; by?: string; expired?: boolean } | null;
}

export interface FileInfo {
  path: string;
  size: number;
  last_modified: number;
  /** Why there is no content, in an exported run. */
  left_out?: string;
}

/** Which events of a run; everything that is left out is not asked about. */
export interface Filter {
  kinds?: readonly Kind[];
  /** `""` is the flow itself. */
  agents?: readonly string[];
  /** Text in the payload, in any case. */
  search?: string;
  /** Only events up to this `seq`. */
  upto?: number;
}

/** Some of the events that fit a filter: `offset` is the place of the first, `total` how many fit, up to `lastSeq`. */
export interface Window {
  events: EventTable;
  offset: number;
  total: number;
  lastSeq: number;
}

/** What comes of following a run. A hole between events is told, never hidden. */
export type Followed = { events: EventTable } | { gap: { from: number; to: number } } | { end: End };

export interface RunQuery {
  status?: readonly string[];
  flow?: readonly string[];
  user?: readonly string[];
  tag?: readonly string[];
  parent?: string;
  /** Id of the notebook cell that launched it. */
  cell?: string;
  since?: string;
  until?: string;
  search?: string;
  sort?: string;
  limit?: number;
  cursor?: string;
}

/** How the connection is: `lost` means that it is being tried again. */
export type Connection = 'connecting' | 'live' | 'lost';

export class Source {
  readonly connection = new Value<Connection>('connecting');
  /** Who does not answer while it is lost, where a person would know the name. */
  away = '';

  constructor(readonly transport: Transport) {}

  /** Where the host says when the log has changed: then nobody has to ask again and again. */
  told: Value<number> | null = null;

  /** Why nothing can be done through this source, where that is so: then views offer nothing. */
  readonly readOnly: string | null = null;
  /** Whether it can give all events of a run as a file. */
  readonly downloads: boolean = true;

  /** Milliseconds since 1970 for whatever goes on; a replay has a clock of its own. */
  now(): number {
    return Date.now();
  }

  // -- runs

  async runs(query: RunQuery, signal?: AbortSignal): Promise<RunPage> {
    return (await this.json('GET', `/runs${search({ ...query })}`, undefined, signal)) as RunPage;
  }

  async run(runId: string, signal?: AbortSignal): Promise<RunDetail> {
    return (await this.json('GET', `/runs/${runId}`, undefined, signal)) as RunDetail;
  }

  async cancel(runId: string): Promise<void> {
    await this.json('POST', `/runs/${runId}/cancel`);
  }

  async remove(runId: string): Promise<void> {
    await this.json('DELETE', `/runs/${runId}`);
  }

  /** Start it again; `entered` are values of {@link rerunForm}. */
  async rerun(runId: string, entered?: Record<string, unknown>): Promise<RunRow> {
    const body = entered ? { form: entered } : {};
    return (await this.json('POST', `/runs/${runId}/rerun`, body)) as RunRow;
  }

  /** The form of the run's flow, filled with what it was launched with. */
  async rerunForm(runId: string, signal?: AbortSignal): Promise<Element[]> {
    return (await this.json('GET', `/runs/${runId}/form`, undefined, signal)) as Element[];
  }

  // -- events

  /** Events enough to draw everything but console and event list: long runs are thinned out. */
  async overview(
    runId: string,
    upto?: number,
    signal?: AbortSignal,
  ): Promise<{ events: EventTable; lastSeq: number; total: number }> {
    const reply = await this.arrow(`/runs/${runId}/overview${search({ upto })}`, signal);
    const [lastSeq, total] = [numberOf(reply, 'x-last-seq'), numberOf(reply, 'x-total')];
    return { events: EventTable.from(await reply.bytes()), lastSeq, total };
  }

  /** A stretch of the events that fit; a negative `offset` counts from the end. */
  async window(runId: string, filter: Filter, offset: number, limit: number, signal?: AbortSignal): Promise<Window> {
    const asked = { kind: filter.kinds, agent: filter.agents, search: filter.search, upto: filter.upto, offset, limit };
    const reply = await this.arrow(`/runs/${runId}/window${search(asked)}`, signal);
    return {
      events: EventTable.from(await reply.bytes()),
      offset: numberOf(reply, 'x-offset'),
      total: numberOf(reply, 'x-total'),
      lastSeq: numberOf(reply, 'x-last-seq'),
    };
  }

  /** All events of a run as a file of this media type. */
  async export(runId: string, type: string, signal?: AbortSignal): Promise<Blob> {
    const reply = await this.raw({ method: 'GET', path: `${API}/runs/${runId}/events`, headers: { accept: type }, signal });
    return new Blob([await reply.bytes()], { type });
  }

  /** Some points of the run's clock: `seq` and milliseconds since 1970, both growing. */
  async clock(runId: string, signal?: AbortSignal): Promise<{ seq: number[]; ts: number[] }> {
    return (await this.json('GET', `/runs/${runId}/clock`, undefined, signal)) as { seq: number[]; ts: number[] };
  }

  /**
   * Events after `after` as they come, each once and in order, over broken connections, until the run has ended.
   * Where the browser has too many streams open already, they come once a second.
   */
  async *follow(runId: string, after: number, signal: AbortSignal): AsyncGenerator<Followed> {
    let last = after;
    let tries = 0;
    for (;;) {
      if (signal.aborted) return;
      const limited = this.transport.name === 'http';
      const place = limited ? await takePlace(signal) : null;
      try {
        const streamed = place !== null || !limited;
        let heard = false;
        for await (const frame of streamed ? this.frames(runId, last, signal) : this.glimpse(runId, last, signal)) {
          heard = true;
          tries = 0;
          this.connection.set('live');
          if (frame === null) continue;
          if (!(frame instanceof EventTable)) {
            yield frame;
            return;
          }
          if (frame.length === 0 || frame.seq(frame.length - 1) <= last) continue;
          if (frame.seq(0) > last + 1) yield { gap: { from: last + 1, to: frame.seq(0) - 1 } };
          last = frame.seq(frame.length - 1);
          yield { events: frame };
        }
        if (!heard) throw new Unreachable('the stream broke off');
        await pause(streamed ? 100 : GLIMPSE_MS, signal); // behind a proxy a stream ends every few minutes, which is no reason to worry anybody
      } catch (error) {
        if (aborted(error)) return;
        if (!(error instanceof Unreachable)) throw error;
        place?.(); // for somebody else, while this waits
        this.lost(error);
        await pause(Math.min(5000, 100 * 2 ** tries++), signal);
      } finally {
        place?.();
      }
    }
  }

  private async *frames(runId: string, after: number, signal: AbortSignal): AsyncGenerator<Frame> {
    const path = `${API}/runs/${runId}/frames${search({ after })}`;
    const reply = await this.transport.send({ method: 'GET', path, headers: { accept: STREAM }, signal });
    if (reply.status >= 500) throw new Unreachable(`status ${reply.status}`);
    if (reply.status >= 400) throw await refusal(reply);
    yield* framesOf(reply.chunks());
  }

  /** What there is at the moment, in the shape of a stream. */
  private async *glimpse(runId: string, after: number, signal: AbortSignal): AsyncGenerator<Frame> {
    const reply = await this.arrow(`/runs/${runId}/events${search({ after, limit: GLIMPSE })}`, signal);
    const events = EventTable.from(await reply.bytes());
    yield events;
    if (events.length > 0) return;
    const { status, last_seq } = await this.run(runId, signal);
    if (TERMINAL.includes(status) && last_seq <= after) yield { end: { status, last_seq } };
  }

  /** The JSON text of a payload that is kept beside the log. */
  async artifact(runId: string, sha256: string, signal?: AbortSignal): Promise<unknown> {
    return this.json('GET', `/runs/${runId}/artifacts/${sha256}`, undefined, signal);
  }

  // -- locks

  async locks(signal?: AbortSignal): Promise<OpenLock[]> {
    return (await this.json('GET', '/locks', undefined, signal)) as OpenLock[];
  }

  async lock(runId: string, lid: string, signal?: AbortSignal): Promise<LockDetail> {
    return (await this.json('GET', `/runs/${runId}/locks/${lid}`, undefined, signal)) as LockDetail;
  }

  /** Answer a lock. A {@link Refusal} with `errors` leaves it open; one of kind `lock-closed` says who was first. */
  async answer(runId: string, lid: string, result: unknown): Promise<void> {
    await this.json('POST', `/runs/${runId}/locks/${lid}`, { result });
  }

  // -- several runs

  /** Where a sweep is asked for. */
  sweepPath(sweepId: string): string {
    return `${API}/sweeps/${encodeURIComponent(sweepId)}`;
  }

  /** Cancel the rest of a sweep, run again what failed, or start what never was; how many runs that are. */
  async actOnSweep(sweepId: string, what: 'cancel' | 'rerun' | 'resume'): Promise<number> {
    return ((await this.json('POST', `/sweeps/${encodeURIComponent(sweepId)}/${what}`, {})) as { runs: number }).runs;
  }

  async compare(runIds: readonly string[], signal?: AbortSignal): Promise<Comparison> {
    return (await this.json('GET', `/compare${search({ run: runIds })}`, undefined, signal)) as Comparison;
  }

  // -- files

  async files(runId: string, path: 'in' | 'out', signal?: AbortSignal): Promise<FileInfo[]> {
    return (await this.json('GET', `/runs/${runId}/files${search({ path })}`, undefined, signal)) as FileInfo[];
  }

  async file(runId: string, path: string, signal?: AbortSignal): Promise<Blob> {
    const reply = await this.raw({ method: 'GET', path: `${API}${filePath(runId, path)}`, signal });
    return new Blob([await reply.bytes()], { type: reply.header('content-type') ?? '' });
  }

  /** Where the browser itself can open a file, or null. */
  fileUrl(runId: string, path: string): string | null {
    return this.transport.url(`${API}${filePath(runId, path)}`);
  }

  /** The run as one file, with the name that JupyterLab knows such a file by. */
  async exportRun(runId: string, signal?: AbortSignal): Promise<{ name: string; content: Blob }> {
    const reply = await this.raw({ method: 'GET', path: `${API}/runs/${runId}/export`, signal });
    const name = /filename="([^"]+)"/.exec(reply.header('content-disposition') ?? '')?.[1];
    return { name: name ?? `${runId}.kodosumi-run.json`, content: new Blob([await reply.bytes()], { type: 'application/json' }) };
  }

  // -- flows

  async flows(words?: string, signal?: AbortSignal): Promise<FlowInfo[]> {
    return (await this.json('GET', `/flows${search({ search: words })}`, undefined, signal)) as FlowInfo[];
  }

  async form(flow: string, signal?: AbortSignal): Promise<Element[]> {
    return (await this.json('GET', `/flows/${encoded(flow)}/form`, undefined, signal)) as Element[];
  }

  async validate(flow: string, entered: Record<string, unknown>, signal?: AbortSignal): Promise<void> {
    await this.json('POST', `/flows/${encoded(flow)}/validate`, { form: entered }, signal);
  }

  /** Start a run; the same `key` again is the same run, whether or not an answer was seen. */
  async launch(flow: string, entered: Record<string, unknown>, key?: string): Promise<RunRow> {
    const headers: Record<string, string> = key === undefined ? {} : { 'idempotency-key': key };
    return (await this.json('POST', `/flows/${encoded(flow)}/launch`, { form: entered }, undefined, headers)) as RunRow;
  }

  // -- below

  /** A file of the application itself, such as a library that only some results need. */
  async asset(name: string, signal?: AbortSignal): Promise<string> {
    const reply = await this.raw({ method: 'GET', path: `${API}/assets/${name}`, signal });
    return new TextDecoder().decode(await reply.bytes());
  }

  /** Nothing answers. */
  lost({ who }: Unreachable): void {
    this.away = who;
    this.connection.set('lost');
  }

  /** Any request; a status from 400 on is a {@link Refusal}. */
  async raw(request: Request): Promise<Reply> {
    let reply: Reply;
    try {
      reply = await this.transport.send(request);
    } catch (error) {
      if (error instanceof Unreachable) this.lost(error);
      throw error;
    }
    this.connection.set('live');
    if (reply.status >= 400) throw await refusal(reply);
    return reply;
  }

  async json(
    method: Request['method'], path: string, body?: unknown, signal?: AbortSignal, more: Record<string, string> = {},
  ): Promise<unknown> {
    const headers: Record<string, string> = { accept: 'application/json', ...more };
    const request: Request = { method, path: API + path, headers, signal };
    if (body !== undefined) {
      headers['content-type'] = 'application/json';
      request.body = JSON.stringify(body);
    }
    const reply = await this.raw(request);
    const text = new TextDecoder().decode(await reply.bytes());
    return text === '' ? null : (JSON.parse(text) as unknown);
  }

  private arrow(path: string, signal?: AbortSignal): Promise<Reply> {
    return this.raw({ method: 'GET', path: API + path, headers: { accept: ARROW }, signal });
  }
}

function numberOf(reply: Reply, header: string): number {
  return Number(reply.header(header) ?? NaN);
}

async function refusal(reply: Reply): Promise<Refusal> {
  const text = new TextDecoder().decode(await reply.bytes());
  try {
    return new Refusal(JSON.parse(text) as Problem);
  } catch {
    return new Refusal({ type: 'about:blank', title: 'Error', status: reply.status, detail: text.slice(0, 500) });
  }
}

function encoded(flow: string): string {
  return flow.split('/').map(encodeURIComponent).join('/');
}

function filePath(runId: string, path: string): string {
  return `/runs/${runId}/files/${path.split('/').map(encodeURIComponent).join('/')}`;
}

function search(parameters: Record<string, unknown>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value === undefined || value === null || value === '') continue;
    for (const item of Array.isArray(value) ? value : [value]) query.append(name, String(item));
  }
  const text = query.toString();
  return text && `?${text}`;
}

/** Resolves after a while, or at once when the signal is aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
  });
}
