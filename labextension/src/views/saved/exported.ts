// An exported run: the file has everything, so that neither a gateway nor a kernel is needed. See kodosumi_lab/runtime/exporting.py.

import { type Event, EventTable } from '../../sources/events.ts';
import type { FileInfo, Filter, Source, Window } from '../../sources/source.ts';
import { type Transport, Unreachable } from '../../sources/transport.ts';
import { KINDS, type Kind, type RunDetail, type RunPage, STATUSES } from '../../wire.ts';
import { CONSOLE } from '../fold.ts';
import { matcher } from '../list/model.ts';
import { FrozenSource, notHere } from './frozen.ts';
import { t } from '../words.ts';

/** The version of the files that this reads. */
const VERSION = 1;

export interface Exported {
  run: RunDetail;
  events: Event[];
  /** With their content, or why that was left out; null where nothing is said of them. */
  files: ExportedFile[] | null;
}

interface ExportedFile extends FileInfo {
  base64?: string;
}

/** What a file says, or an error that tells what is wrong with it. */
export function readExport(text: string): Exported {
  const told = parsed(text) as { format?: unknown; version?: unknown; run?: Partial<RunDetail>; events?: unknown; files?: unknown } | null;
  if (told?.format !== 'kodosumi-run') throw new Error(t('This is no exported run: it is JSON, but does not say "format": "kodosumi-run".'));
  if (typeof told.version !== 'number' || told.version > VERSION) {
    throw new Error(t('This export has version %1; this release of Kodosumi Lab reads up to version %2.', String(told.version), VERSION));
  }
  const { run } = told;
  const named = typeof run?.run_id === 'string' && typeof run.flow === 'string' && typeof run.last_seq === 'number';
  if (!named || !STATUSES.includes(run.status!)) throw new Error(t('This export is damaged: it does not say which run it is, or how that stands.'));
  if (!Array.isArray(told.events)) throw new Error(t('This export is damaged: it has no list of events.'));
  return { run: { tags: [], locks: [], meta: {}, inputs: {}, ...run } as RunDetail, events: told.events.map(eventOf), files: Array.isArray(told.files) ? told.files.map(fileOf) : null };
}

function fileOf(given: unknown, place: number): ExportedFile {
  const told = given as Partial<ExportedFile> | null;
  const content = typeof told?.base64 === 'string' || typeof told?.left_out === 'string';
  if (typeof told?.path !== 'string' || typeof told.size !== 'number' || typeof told.last_modified !== 'number' || !content) {
    throw new Error(t('This export is damaged: file %1 lacks its path, size, last_modified or content.', place));
  }
  return told as ExportedFile;
}

function parsed(text: string): unknown {
  if (text.trim() === '') throw new Error(t('This file is empty.'));
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(t('This is no exported run: it is no JSON, or a part of it is missing (%1).', error instanceof Error ? error.message : String(error)), { cause: error });
  }
}

function eventOf(given: unknown, place: number): Event {
  const told = given as (Partial<Event> & { payload?: unknown }) | null;
  if (typeof told?.seq !== 'number' || typeof told.ts !== 'number' || !KINDS.includes(told.kind!) || told.payload === undefined) {
    throw new Error(t('This export is damaged: event %1 lacks its seq, ts, kind or payload.', place));
  }
  return { seq: told.seq, ts: told.ts, kind: told.kind!, agent: told.agent ?? null, attempt: told.attempt ?? 1, payload: JSON.stringify(told.payload) };
}

const NOWHERE: Transport = {
  name: 'file',
  url: () => null,
  send: () => Promise.reject(new Unreachable(t('an exported run asks nobody'))),
};

export class ExportedSource extends FrozenSource {
  /** The file has them all, and who has it needs no other. */
  override readonly downloads: boolean = false;

  constructor(
    private readonly exported: Exported,
    /** Who has what is the same for all runs, such as the library of plots. */
    private readonly shared: Source | null = null,
  ) {
    super(NOWHERE);
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- a refusal is a rejection
  override async run(runId: string): Promise<RunDetail> {
    const { run } = this.exported;
    if (runId !== run.run_id) throw notHere(t('The file has the run %1 only, not %2.', run.run_id, runId));
    return run;
  }

  override runs(): Promise<RunPage> {
    return Promise.resolve({ items: [], total: 0, next: null });
  }

  override overview(_runId: string, upto = Infinity): ReturnType<Source['overview']> {
    const listed: readonly Kind[] = CONSOLE;
    const events = this.exported.events.filter(({ seq, kind }) => seq <= upto && !listed.includes(kind));
    const lastSeq = Math.min(upto, this.last);
    return Promise.resolve({ events: EventTable.of(events), lastSeq, total: lastSeq + 1 });
  }

  override window(_runId: string, filter: Filter, offset: number, limit: number): Promise<Window> {
    const fits = matcher(filter);
    const { upto = Infinity } = filter;
    const found = this.exported.events.filter((event) => event.seq <= upto && fits(event));
    const start = offset < 0 ? Math.max(0, found.length + offset) : Math.min(offset, found.length);
    const events = EventTable.of(found.slice(start, start + limit));
    return Promise.resolve({ events, offset: start, total: found.length, lastSeq: Math.min(upto, this.last) });
  }

  override clock(): Promise<{ seq: number[]; ts: number[] }> {
    const { events } = this.exported;
    let latest = 0;
    return Promise.resolve({ seq: events.map(({ seq }) => seq), ts: events.map(({ ts }) => (latest = Math.max(latest, ts))) });
  }

  override asset(name: string, signal?: AbortSignal): Promise<string> {
    return this.shared ? this.shared.asset(name, signal) : Promise.reject(notHere(t('Plots need the gateway, which has their library.')));
  }

  override async files(runId = '', root: 'in' | 'out' = 'in'): Promise<FileInfo[]> {
    const { files } = this.exported;
    await this.run(runId);
    return files === null ? super.files() : files.filter(({ path }) => path.startsWith(`${root}/`));
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- a refusal is a rejection
  override async file(_runId: string, path: string): Promise<Blob> {
    const { base64 } = this.exported.files?.find((one) => one.path === path) ?? {};
    if (base64 === undefined) throw notHere(t('The file %1 is not in this file.', path));
    return new Blob([Uint8Array.from(atob(base64), (char) => char.charCodeAt(0))]);
  }

  private get last(): number {
    return this.exported.events.at(-1)?.seq ?? -1;
  }
}
