// A Parquet of events in the Jupyter server's folder: its gateway reads it, page by page, as a log of its own.

import { Refusal, type Source } from '../../sources/source.ts';
import type { Reply, Request, Transport } from '../../sources/transport.ts';
import { FrozenSource } from './frozen.ts';
import { t } from '../words.ts';

const API = '/api/v1';

/** What a file is; the answer of `/opened/<key>`. */
export interface OpenedFile {
  name: string;
  nbytes: number;
  runs: number;
  /** The only run, or null. */
  run_id: string | null;
}

/** How the gateway calls a file: its path below the server's folder, in URL-safe base64. */
export function keyOf(path: string): string {
  const bytes = Array.from(new TextEncoder().encode(path), (byte) => String.fromCharCode(byte)).join('');
  return btoa(bytes).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

/** Requests for runs, sent to those of a file. */
class Below implements Transport {
  constructor(
    private readonly inner: Transport,
    private readonly key: string,
  ) {}

  get name(): string {
    return this.inner.name;
  }

  url(): null {
    return null;
  }

  send(request: Request): Promise<Reply> {
    return this.inner.send({ ...request, path: request.path.replace(new RegExp(`^${API}/(?=runs)`), `${API}/opened/${this.key}/`) });
  }
}

export class OpenedSource extends FrozenSource {
  private constructor(transport: Transport, readonly about: OpenedFile) {
    super(transport);
  }

  /** Look what a file is; a Refusal says why it is no event log. */
  static async open(source: Source, path: string, signal: AbortSignal): Promise<OpenedSource> {
    const key = keyOf(path);
    const file = (await source.json('GET', `/opened/${key}`, undefined, signal).catch(explained)) as OpenedFile;
    return new OpenedSource(new Below(source.transport, key), file);
  }
}

/** A gateway that somebody has put in the place of the package's own knows nothing of this server's files. */
function explained(error: unknown): never {
  if (error instanceof Refusal && error.problem.status === 404 && error.kind !== 'file-not-found') {
    throw new Error(t('This gateway does not read the files of the Jupyter server; the one that comes with the package does. See the setting serverUrl.'), { cause: error });
  }
  throw error;
}
