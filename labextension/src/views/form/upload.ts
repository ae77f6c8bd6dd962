// Uploads in chunks by kodosumi's paths, resumed where they broke off; see docs/files.md and docs/api.md. No DOM.

import { Refusal, type Source, pause } from '../../sources/source.ts';
import { Unreachable, aborted } from '../../sources/transport.ts';
import { t } from '../words.ts';

export type UploadState = 'waiting' | 'sending' | 'paused' | 'done' | 'failed';

/** One file on its way. `name` may have folders in it. */
export interface Upload {
  readonly file: File;
  readonly name: string;
  readonly size: number;
  state: UploadState;
  /** Bytes that the gateway has. */
  sent: number;
  problem: string;
}

interface Task extends Upload {
  readonly controller: AbortController;
  id: string | null;
  chunkBytes: number;
}

interface Begun {
  id: string;
  chunkBytes: number;
}

/** Files at a time; their chunks go one after the other. */
const AT_ONCE = 3;
/** Chunks are at most this many bytes, and small enough that progress is seen. */
const STEPS = 100;
const LEAST_BYTES = 256 * 1024;
/** How often a gateway may fail at one chunk before the file is given up. */
const TRIES = 5;

/** The files of one field: one batch, begun with the first of them. */
export class Batch {
  private readonly tasks: Task[] = [];
  private begun: Promise<Begun> | null = null;
  private running = 0;
  private batchId: string | null = null;
  private waiters: (() => void)[] = [];

  constructor(
    private readonly source: Source,
    private readonly signal: AbortSignal,
    private readonly changed: () => void,
  ) {
    signal.addEventListener('abort', () => this.tasks.forEach((task) => task.controller.abort()), { once: true });
  }

  get uploads(): readonly Upload[] {
    return this.tasks;
  }

  /** Begin with a file; one of the same name is replaced. */
  add(file: File, name: string): void {
    const same = this.tasks.find((task) => task.name === name);
    if (same) this.remove(same);
    this.tasks.push({
      file, name, size: file.size, state: 'waiting', sent: 0, problem: '', id: null, chunkBytes: 0, controller: new AbortController(),
    });
    this.next();
    this.changed();
  }

  /** Stop sending it, or forget what was sent. */
  remove(upload: Upload): void {
    const at = this.tasks.indexOf(upload as Task);
    if (at < 0) return;
    const [task] = this.tasks.splice(at, 1);
    task!.controller.abort();
    if (task!.id !== null) void this.drop(task!.id);
    this.wake();
    this.changed();
  }

  /** Try again what failed. */
  retry(upload: Upload): void {
    upload.state = 'waiting';
    upload.problem = '';
    this.next();
    this.changed();
  }

  /** The batch went to a run: what is here is sent anew when it is needed again. */
  taken(): void {
    this.begun = null;
    this.batchId = null;
    for (const task of this.tasks) {
      task.id = null;
      task.sent = 0;
      if (task.state === 'done') task.state = 'waiting'; // those on their way find out by themselves
    }
    this.changed();
  }

  /** Resolves once all files are there, or one cannot be. */
  async settled(): Promise<void> {
    this.next();
    while (this.tasks.some((task) => task.state !== 'done' && task.state !== 'failed') && !this.signal.aborted) {
      await new Promise<void>((resolve) => this.waiters.push(resolve));
    }
  }

  /** What a form sends for the field; without files, nothing. */
  value(): string | undefined {
    if (this.tasks.length === 0) return undefined;
    const items = this.tasks.map((task, at) => [
      task.id ?? `waiting-${at}`,
      { filename: task.name, totalChunks: chunksOf(task.size, task.chunkBytes || LEAST_BYTES) },
    ]);
    return JSON.stringify({ batchId: this.batchId ?? '', items: Object.fromEntries(items) as unknown });
  }

  private next(): void {
    while (this.running < AT_ONCE && !this.signal.aborted) {
      const task = this.tasks.find((one) => one.state === 'waiting');
      if (!task) return;
      task.state = 'sending';
      this.running++;
      void this.carry(task).finally(() => {
        this.running--;
        this.next();
        this.wake();
        this.changed();
      });
    }
  }

  private wake(): void {
    const waiting = this.waiters;
    this.waiters = [];
    for (const resolve of waiting) resolve();
  }

  private async carry(task: Task): Promise<void> {
    const { signal } = task.controller;
    let tries = 0;
    while (!signal.aborted) {
      try {
        await this.send(task, signal, () => (tries = 0));
        task.state = 'done';
        return;
      } catch (error) {
        if (aborted(error)) return;
        const gone = error instanceof Refusal && error.kind === 'upload-not-found';
        if (gone && task.id !== null && task.id.startsWith(`${this.batchId ?? '?'}-`)) this.taken();
        if (gone) task.id = null;
        const again = error instanceof Unreachable || gone || (error instanceof Refusal && error.problem.status >= 500);
        if (!again || (!(error instanceof Unreachable) && ++tries >= TRIES)) {
          task.state = 'failed';
          task.problem = error instanceof DOMException ? t('It cannot be read any more') : error instanceof Error ? error.message : String(error);
          return;
        }
        task.state = 'paused';
        this.changed();
        await pause(Math.min(5000, 250 * 2 ** tries++), signal);
        task.state = 'sending';
      }
    }
  }

  private async send(task: Task, signal: AbortSignal, progress: () => void): Promise<void> {
    const known = task.id;
    const missing = known === null ? await this.announce(task, signal) : await this.missing(known, signal);
    const id = task.id ?? known!;
    const total = chunksOf(task.size, task.chunkBytes);
    task.sent = bytesBefore(task, total, missing);
    for (const number of missing) {
      const part = task.file.slice(number * task.chunkBytes, (number + 1) * task.chunkBytes);
      const { body, type } = multipart(id, number, new Uint8Array(await part.arrayBuffer()));
      await this.source.raw({ method: 'POST', path: '/files/chunk', headers: { 'content-type': type, accept: 'application/json' }, body, signal });
      task.sent += part.size;
      progress();
      this.changed();
    }
  }

  private async announce(task: Task, signal: AbortSignal): Promise<number[]> {
    this.begun ??= this.begin();
    const asked = this.begun;
    let begun: Begun;
    try {
      begun = await asked;
    } catch (error) {
      if (this.begun === asked) this.begun = null;
      throw error;
    }
    this.batchId = begun.id;
    task.chunkBytes = Math.min(begun.chunkBytes, Math.max(LEAST_BYTES, Math.ceil(task.size / STEPS)));
    const total = chunksOf(task.size, task.chunkBytes);
    const told = await this.post('/files/init', { filename: task.name, total_chunks: total, batch_id: begun.id }, signal);
    task.id = told['upload_id'] as string;
    return [...Array(total).keys()];
  }

  private async begin(): Promise<Begun> {
    const told = await this.post('/files/init_batch', undefined, this.signal);
    return { id: told['batch_id'] as string, chunkBytes: told['chunk_bytes'] as number };
  }

  private async missing(id: string, signal: AbortSignal): Promise<number[]> {
    const told = (await this.source.json('GET', `/uploads/${id}`, undefined, signal)) as { missing: number[] };
    return told.missing;
  }

  private async post(path: string, body: unknown, signal: AbortSignal): Promise<Record<string, unknown>> {
    const headers = { accept: 'application/json', 'content-type': 'application/json' };
    const reply = await this.source.raw({ method: 'POST', path, headers, body: body === undefined ? undefined : JSON.stringify(body), signal });
    return JSON.parse(new TextDecoder().decode(await reply.bytes())) as Record<string, unknown>;
  }

  private async drop(id: string): Promise<void> {
    try {
      await this.source.raw({ method: 'DELETE', path: `/files/cancel/${id}` });
    } catch {
      return; // it expires by itself
    }
  }
}

/** Give the uploads that a form's values name to a run; for answers to locks, whose run is there already. */
export async function complete(source: Source, runId: string, values: Record<string, unknown>): Promise<boolean> {
  const batches = Object.values(values).flatMap((value) => batchOf(value) ?? []);
  for (const batch of batches) {
    await source.raw({ method: 'POST', path: `/files/complete/${runId}/${batch}/in`, headers: { accept: 'application/json' } });
  }
  return batches.length > 0;
}

function batchOf(value: unknown): string | null {
  if (typeof value !== 'string' || !value.startsWith('{"batchId":"')) return null;
  try {
    const said = JSON.parse(value) as { batchId?: unknown; items?: object };
    return typeof said.batchId === 'string' && said.batchId !== '' && Object.keys(said.items ?? {}).length > 0 ? said.batchId : null;
  } catch {
    return null;
  }
}

function chunksOf(size: number, chunkBytes: number): number {
  return Math.ceil(size / chunkBytes);
}

function bytesBefore(task: Task, total: number, missing: number[]): number {
  const last = task.size - (total - 1) * task.chunkBytes;
  return task.size - missing.reduce((sum, number) => sum + (number === total - 1 ? last : task.chunkBytes), 0);
}

/** A body as a browser's own form would send it: not every transport knows `FormData`. */
function multipart(uploadId: string, number: number, data: Uint8Array<ArrayBuffer>): { body: Uint8Array<ArrayBuffer>; type: string } {
  const edge = `kl${Math.random().toString(36).slice(2)}${Math.random().toString(36).slice(2)}`;
  const field = (name: string, value: string): string => `--${edge}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
  const head = new TextEncoder().encode(
    `${field('upload_id', uploadId)}${field('chunk_number', String(number))}--${edge}\r\n` +
      'content-disposition: form-data; name="chunk"; filename="chunk"\r\ncontent-type: application/octet-stream\r\n\r\n',
  );
  const tail = new TextEncoder().encode(`\r\n--${edge}--\r\n`);
  const body = new Uint8Array(head.length + data.length + tail.length);
  body.set(head);
  body.set(data, head.length);
  body.set(tail, head.length + data.length);
  return { body, type: `multipart/form-data; boundary=${edge}` };
}
