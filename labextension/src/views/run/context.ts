// What every part of a run's view is given.

import type { Source } from '../../sources/source.ts';
import type { Host } from '../host.ts';
import type { RunStore } from '../store.ts';

export interface RunContext {
  source: Source;
  runId: string;
  store: RunStore;
  signal: AbortSignal;
  host: Host;
}

/** Draws a part as the state is now; called once a frame at most, while the part is seen. */
export type Draw = () => void;
