// For tests only: events as the wire carries them, and a transport whose answers a test writes.

import { columnFromArray, float64, int16, int64, tableFromColumns, tableToIPC, timestamp, utf8 } from '@uwdata/flechette';
import type { Event } from './events.ts';
import type { Reply, Request, Transport } from './transport.ts';

/** Events as an Arrow stream with the log's columns that views read. */
export function arrowOf(events: Partial<Event>[]): Uint8Array<ArrayBuffer> {
  const column = <T>(pick: (event: Partial<Event>) => T): T[] => events.map(pick);
  const table = tableFromColumns({
    seq: columnFromArray(column((e) => e.seq ?? 0), int64()),
    ts: columnFromArray(column((e) => e.ts ?? 0), timestamp(2, 'UTC')),
    kind: columnFromArray(column((e) => e.kind ?? 'stdout'), utf8()),
    agent: columnFromArray(column((e) => e.agent ?? null), utf8()),
    attempt: columnFromArray(column((e) => e.attempt ?? 1), int16()),
    payload: columnFromArray(column((e) => e.payload ?? '""'), utf8()),
    unused: columnFromArray(column(() => 0.5), float64()),
  });
  const bytes = tableToIPC(table, { format: 'stream' });
  if (!bytes) throw new Error('flechette wrote nothing');
  return new Uint8Array(bytes);
}

/** A frame of a live stream. */
export function frame(bytes: Uint8Array | string): Uint8Array<ArrayBuffer> {
  const body = typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes;
  const result = new Uint8Array(4 + body.length);
  new DataView(result.buffer).setUint32(0, body.length, true);
  result.set(body, 4);
  return result;
}

export function reply(status: number, body: Uint8Array | string | Uint8Array[], headers: Record<string, string> = {}): Reply {
  const encode = (part: Uint8Array | string): Uint8Array<ArrayBuffer> =>
    typeof part === 'string' ? new TextEncoder().encode(part) : new Uint8Array(part);
  const parts = Array.isArray(body) ? body.map(encode) : [encode(body)];
  return {
    status,
    header: (name) => headers[name.toLowerCase()] ?? null,
    bytes: () => new Blob(parts).arrayBuffer().then((all) => new Uint8Array(all)),
    chunks: async function* () {
      for (const part of parts) {
        await Promise.resolve();
        yield part;
      }
    },
  };
}

/** A transport that answers as a test says. */
export class Scripted implements Transport {
  readonly asked: Request[] = [];

  constructor(
    private readonly answer: (request: Request) => Reply | Promise<Reply>,
    readonly name = 'scripted',
  ) {}

  url(): null {
    return null;
  }

  async send(request: Request): Promise<Reply> {
    this.asked.push(request);
    await Promise.resolve();
    return this.answer(request);
  }
}
