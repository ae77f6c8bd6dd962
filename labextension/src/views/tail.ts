// What lists need of whoever follows a run: the events as they come.

import type { EventTable } from '../sources/events.ts';

export interface Tail {
  /** Call with each table of new events, in order, until the signal is aborted. */
  onEvents(listener: (events: EventTable) => void, signal: AbortSignal): void;
}
