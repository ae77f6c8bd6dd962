// How a request reaches the gateway's routes: over HTTP, or over a widget's comm to the
// application inside the kernel. Everything above speaks of requests and replies only.

export interface Request {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Below the gateway's root, such as `/api/v1/runs`. */
  path: string;
  headers?: Record<string, string>;
  body?: string | Uint8Array<ArrayBuffer>;
  signal?: AbortSignal;
}

export interface Reply {
  status: number;
  header(name: string): string | null;
  bytes(): Promise<Uint8Array<ArrayBuffer>>;
  chunks(): AsyncIterable<Uint8Array<ArrayBuffer>>;
}

export interface Transport {
  readonly name: string;
  send(request: Request): Promise<Reply>;
  /** An address that the browser itself can open, or null where there is none. */
  url(path: string): string | null;
}

/** Nothing answered; what was asked may be asked again. */
export class Unreachable extends Error {
  override name = 'Unreachable';

  constructor(
    message: string,
    /** Who does not answer, where a person would know the name. */
    readonly who = '',
  ) {
    super(message);
  }
}

/** The signal was aborted: nobody wants the answer any more. */
export function aborted(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}

/** Requests by `fetch`. Pages of other origins cannot send the header, so it stands against forgery. */
export class FetchTransport implements Transport {
  readonly name = 'http';

  constructor(
    /** Where the gateway is; asked at each request. */
    private readonly base: string | (() => string),
    private readonly headers: Record<string, string> = {},
  ) {}

  url(path: string): string {
    const base = typeof this.base === 'string' ? this.base : this.base();
    return base.replace(/\/$/, '') + path;
  }

  async send(request: Request): Promise<Reply> {
    let answer: Response;
    try {
      answer = await fetch(this.url(request.path), {
        method: request.method,
        headers: { 'x-kodosumi-request': '1', ...this.headers, ...request.headers },
        body: request.body ?? null,
        signal: request.signal ?? null,
        credentials: 'same-origin',
      });
    } catch (error) {
      if (aborted(error)) throw error;
      throw new Unreachable(String(error));
    }
    if (answer.status >= 500 && !isProblem(answer)) throw new Unreachable(`status ${answer.status}: no gateway behind the proxy`);
    return {
      status: answer.status,
      header: (name) => answer.headers.get(name),
      bytes: async () => new Uint8Array(await answer.arrayBuffer()),
      chunks: () => streamed(answer),
    };
  }
}

/** The gateway words its refusals; a page of HTML is from a proxy that does not reach it. */
function isProblem(answer: Response): boolean {
  return (answer.headers.get('content-type') ?? '').includes('json');
}

async function* streamed(answer: Response): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const reader = answer.body?.getReader();
  if (!reader) return;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } catch (error) {
    if (aborted(error)) throw error;
    throw new Unreachable(String(error));
  } finally {
    reader.releaseLock();
  }
}
