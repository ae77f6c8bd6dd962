import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Scripted, reply } from '../../sources/_testing.ts';
import { Source } from '../../sources/source.ts';
import { type Reply, type Request, Unreachable } from '../../sources/transport.ts';
import { Batch, complete } from './upload.ts';

const BATCH = 'b'.repeat(32);

/** The gateway's paths for uploads, as far as a browser sees them. */
class Uploads {
  readonly chunks = new Map<string, Map<number, string>>();
  readonly names: string[] = [];
  readonly dropped: string[] = [];
  fail: (request: Request) => Reply | null = () => null;

  readonly transport = new Scripted((request) => this.fail(request) ?? this.answer(request));

  private answer(request: Request): Reply {
    const [path = ''] = request.path.split('?');
    const json = (data: unknown): Reply => reply(200, JSON.stringify(data));
    if (path === '/files/init_batch') return json({ batch_id: BATCH, chunk_bytes: 256 * 1024 });
    if (path === '/files/init') {
      const told = JSON.parse(request.body as string) as { filename: string; total_chunks: number };
      const id = `${BATCH}-${this.names.length}`;
      this.names.push(told.filename);
      this.chunks.set(id, new Map());
      return json({ upload_id: id, batch_id: BATCH, total: told.total_chunks });
    }
    if (path === '/files/chunk') {
      const { id, number, data } = parsed(request);
      this.chunks.get(id)!.set(number, data);
      return json({ upload_id: id, chunk_number: number, received: 1 });
    }
    if (path.startsWith('/api/v1/uploads/')) {
      const have = this.chunks.get(path.split('/').pop()!)!;
      return json({ missing: [0, 1, 2].filter((number) => !have.has(number)) });
    }
    if (path.startsWith('/files/cancel/')) this.dropped.push(path.split('/').pop()!);
    return json({});
  }
}

/** A multipart body, read as a server does. */
function parsed(request: Request): { id: string; number: number; data: string } {
  const edge = /boundary=(\w+)$/.exec(request.headers!['content-type']!)![1]!;
  const text = new TextDecoder('latin1').decode(request.body as Uint8Array);
  const parts = text.split(`--${edge}`).slice(1, -1).map((part) => part.slice(2, -2).split('\r\n\r\n'));
  const of = (name: string): string => parts.find(([head]) => head!.includes(`name="${name}"`))!.slice(1).join('\r\n\r\n');
  return { id: of('upload_id'), number: Number(of('chunk_number')), data: of('chunk') };
}

const controller = { current: new AbortController() };
const server = { current: new Uploads() };

beforeEach(() => {
  controller.current = new AbortController();
  server.current = new Uploads();
});
afterEach(() => controller.current.abort());

function batch(): Batch {
  return new Batch(new Source(server.current.transport), controller.current.signal, () => undefined);
}

const LONG = 'x'.repeat(300 * 1024) + '\r\n--end';

describe('uploads', () => {
  it('travel in chunks, and the value names them as a form sends it', async () => {
    const files = batch();
    files.add(new File([LONG], 'a.txt'), 'docs/a.txt');
    files.add(new File([], 'b.txt'), 'b.txt');
    await files.settled();
    expect(files.uploads.map((upload) => [upload.state, upload.sent])).toEqual([['done', LONG.length], ['done', 0]]);
    expect(JSON.parse(files.value()!)).toEqual({
      batchId: BATCH,
      items: { [`${BATCH}-0`]: { filename: 'docs/a.txt', totalChunks: 2 }, [`${BATCH}-1`]: { filename: 'b.txt', totalChunks: 0 } },
    });
    const chunks = server.current.chunks.get(`${BATCH}-0`)!;
    expect([chunks.get(0), chunks.get(1)].join('')).toBe(LONG);
  });

  it('go on where a broken connection left them: what is there is not sent again', async () => {
    const sent: number[] = [];
    let broken = false;
    server.current.fail = (request) => {
      if (request.path !== '/files/chunk') return null;
      const { number } = parsed(request);
      if (number === 1 && !broken) {
        broken = true;
        throw new Unreachable('gone');
      }
      sent.push(number);
      return null;
    };
    const files = batch();
    files.add(new File(['x'.repeat(600 * 1024)], 'a.txt'), 'a.txt');
    await vi.waitFor(() => expect(files.uploads[0]!.state).toBe('paused'));
    await files.settled();
    expect(sent).toEqual([0, 1, 2]);
    expect(files.uploads[0]!.sent).toBe(600 * 1024);
  });

  it('that are refused say why, and can be tried again', async () => {
    let full = true;
    const problem = { type: 'urn:kodosumi-lab:problem:file-too-large', title: '', status: 413, detail: 'a.txt is over 4 GiB' };
    server.current.fail = (request) => (full && request.path === '/files/chunk' ? reply(413, JSON.stringify(problem)) : null);
    const files = batch();
    files.add(new File(['abc'], 'a.txt'), 'a.txt');
    await files.settled();
    expect(files.uploads[0]).toMatchObject({ state: 'failed', problem: 'a.txt is over 4 GiB' });
    full = false;
    files.retry(files.uploads[0]!);
    await files.settled();
    expect(files.uploads[0]!.state).toBe('done');
  });

  it('that are removed are dropped there, too', async () => {
    const files = batch();
    files.add(new File(['abc'], 'a.txt'), 'a.txt');
    await files.settled();
    files.remove(files.uploads[0]!);
    await vi.waitFor(() => expect(server.current.dropped).toEqual([`${BATCH}-0`]));
    expect(files.value()).toBeUndefined();
  });

  it('that went to a run are sent anew when they are needed again', async () => {
    const files = batch();
    files.add(new File(['abc'], 'a.txt'), 'a.txt');
    await files.settled();
    files.taken();
    expect(JSON.parse(files.value()!)).toMatchObject({ batchId: '' }); // nothing to be taken along
    await files.settled();
    expect(server.current.names).toEqual(['a.txt', 'a.txt']);
    expect(JSON.parse(files.value()!)).toHaveProperty('items', { [`${BATCH}-1`]: { filename: 'a.txt', totalChunks: 1 } });
  });

  it('are given to a run by the values that name them', async () => {
    const source = new Source(server.current.transport);
    const value = JSON.stringify({ batchId: BATCH, items: { one: { filename: 'a.txt', totalChunks: 1 } } });
    expect(await complete(source, 'r1', { scan: value, text: '{"batchId":"', none: JSON.stringify({ batchId: BATCH, items: {} }) })).toBe(true);
    expect(server.current.transport.asked.map((request) => request.path)).toEqual([`/files/complete/r1/${BATCH}/in`]);
  });
});
