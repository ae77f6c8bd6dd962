// Runs of a file: they are as they were written, nothing comes and nothing can be done.

import { type Followed, type FileInfo, type LockDetail, Refusal, Source } from '../../sources/source.ts';
import type { Transport } from '../../sources/transport.ts';
import { Value } from '../../sources/value.ts';
import type { RunRow } from '../../wire.ts';
import { t } from '../words.ts';

export class FrozenSource extends Source {
  override readonly readOnly: string = t('this is a file');
  /** Nothing changes, so nobody has to ask again. */
  override told = new Value(0);

  constructor(transport: Transport) {
    super(transport);
    this.connection.set('live');
  }

  /** A run that was open when it was written has come as far as its last event. */
  override now(): number {
    return 0;
  }

  override async *follow(runId: string, _after: number, signal: AbortSignal): AsyncGenerator<Followed> {
    const { status, last_seq } = await this.run(runId, signal);
    yield { end: { status, last_seq } };
  }

  /** What was asked is in the events; who made the form may be anybody, and is not asked. */
  override async lock(runId: string, lid: string, signal?: AbortSignal): Promise<LockDetail> {
    const { events } = await this.window(runId, { kinds: ['lock', 'lease'] }, 0, 10_000, signal);
    const said = [...events].map(({ kind, payload }) => ({ kind, data: JSON.parse(payload) as Record<string, unknown> }));
    const of = (kind: string): Record<string, unknown> | undefined => said.findLast((one) => one.kind === kind && one.data['lid'] === lid)?.data;
    const [asked, lease] = [of('lock'), of('lease')];
    if (!asked) throw notHere(t('The file has no question %1.', lid));
    return { name: '', data: null, expires: null, form: null, ...asked, lid, open: !lease, lease: lease ?? null };
  }

  override files(): Promise<FileInfo[]> {
    return Promise.reject(notHere(t('Files of the run are not in this file.')));
  }

  override answer(): Promise<void> {
    return refused();
  }

  override cancel(): Promise<void> {
    return refused();
  }

  override remove(): Promise<void> {
    return refused();
  }

  override rerun(): Promise<RunRow> {
    return refused();
  }
}

export function notHere(detail: string): Refusal {
  return new Refusal({ type: 'urn:kodosumi-lab:problem:not-in-file', title: 'Not in the file', status: 404, detail });
}

function refused(): Promise<never> {
  const detail = t('This is a file: what is shown has happened, and nothing of it can be changed.');
  return Promise.reject(new Refusal({ type: 'urn:kodosumi-lab:problem:file', title: 'A file', status: 409, detail }));
}
