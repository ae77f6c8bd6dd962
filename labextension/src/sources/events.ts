// Events as they travel: Arrow tables, and frames of a live stream that each hold one.

import { tableFromIPC } from '@uwdata/flechette';
import type { Kind } from '../wire.ts';

/** One event. `ts` is milliseconds since 1970, for people; `seq` is the order. */
export interface Event {
  seq: number;
  ts: number;
  kind: Kind;
  agent: string | null;
  attempt: number;
  /** JSON text as it is in the log. */
  payload: string;
}

interface Column<T> {
  at(row: number): T;
}

/** Events of one Arrow table; rows are made when they are asked for. */
export class EventTable {
  private constructor(
    readonly length: number,
    private readonly seqs: Column<number>,
    private readonly times: Column<number>,
    private readonly kinds: Column<Kind>,
    private readonly agents: Column<string | null>,
    private readonly attempts: Column<number>,
    private readonly payloads: Column<string>,
  ) {}

  static from(bytes: Uint8Array<ArrayBuffer>): EventTable {
    const table = tableFromIPC(bytes, { useDate: false, useBigInt: false });
    const column = <T>(name: string): Column<T> => {
      const found = table.getChild(name) as Column<T> | undefined;
      if (!found) throw new Error(`an event table without the column ${name}`);
      return found;
    };
    return new EventTable(
      table.numRows, column('seq'), column('ts'), column('kind'), column('agent'), column('attempt'), column('payload'),
    );
  }

  /** Of events that are there already. */
  static of(events: readonly Event[]): EventTable {
    const column = <K extends keyof Event>(name: K): Column<Event[K]> => ({ at: (row) => events[row]![name] });
    return new EventTable(events.length, column('seq'), column('ts'), column('kind'), column('agent'), column('attempt'), column('payload'));
  }

  at(row: number): Event {
    return {
      seq: this.seqs.at(row),
      ts: this.times.at(row),
      kind: this.kinds.at(row),
      agent: this.agents.at(row),
      attempt: this.attempts.at(row),
      payload: this.payloads.at(row),
    };
  }

  seq(row: number): number {
    return this.seqs.at(row);
  }

  kind(row: number): Kind {
    return this.kinds.at(row);
  }

  /** Rows `from` … `to`-1. */
  slice(from: number, to: number): EventTable {
    const moved = <T>(column: Column<T>): Column<T> => ({ at: (row) => column.at(row + from) });
    const { seqs, times, kinds, agents, attempts, payloads } = this;
    return new EventTable(
      Math.max(0, Math.min(to, this.length) - from),
      moved(seqs), moved(times), moved(kinds), moved(agents), moved(attempts), moved(payloads),
    );
  }

  *[Symbol.iterator](): Generator<Event> {
    for (let row = 0; row < this.length; row++) yield this.at(row);
  }
}

/** The run has ended: nothing comes after this. */
export interface End {
  status: string;
  last_seq: number;
}

/** Events, or the end; null is a heartbeat. */
export type Frame = EventTable | { end: End } | null;

/**
 * Frames of a byte stream. Each is four bytes with its length (little endian) and that many bytes:
 * an Arrow stream, or JSON text where the first is `{`; length 0 is a heartbeat.
 */
export async function* framesOf(chunks: AsyncIterable<Uint8Array<ArrayBuffer>>): AsyncGenerator<Frame> {
  let rest = new Uint8Array(0);
  for await (const chunk of chunks) {
    const data = new Uint8Array(rest.length + chunk.length);
    data.set(rest);
    data.set(chunk, rest.length);
    let at = 0;
    while (data.length - at >= 4) {
      const size = new DataView(data.buffer).getUint32(at, true);
      if (data.length - at - 4 < size) break;
      yield frameOf(data.slice(at + 4, at + 4 + size));
      at += 4 + size;
    }
    rest = data.slice(at);
  }
}

function frameOf(bytes: Uint8Array<ArrayBuffer>): Frame {
  if (bytes.length === 0) return null;
  if (bytes[0] === 0x7b) return JSON.parse(new TextDecoder().decode(bytes)) as { end: End };
  return EventTable.from(bytes);
}
