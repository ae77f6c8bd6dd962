// What an overview does not tell: how many lines there are, which events are missing, which results were
// left out. Found by counting: the gateway says how many events up to one fit, and holes are found by halving.

import type { Source } from '../sources/source.ts';
import { aborted } from '../sources/transport.ts';
import { KINDS, type Kind } from '../wire.ts';
import { CONSOLE, type Gap, PIECES, type Piece, type RunState } from './fold.ts';
import { t } from './words.ts';

/** Requests that may go into one search. */
const MAX_PROBES = 200;
/** Results that are fetched at once. */
const FETCHED = 100;

/** Correct a state of an overview: `seen` pieces were in it. */
export async function survey(source: Source, runId: string, state: RunState, seen: number, signal: AbortSignal): Promise<void> {
  const { lastSeq, lines, pieces } = state;
  const known = pieces.filter((piece) => piece.seq <= lastSeq);
  const counted = async (kinds: readonly Kind[]): Promise<number> =>
    (await source.window(runId, { kinds, upto: lastSeq }, 0, 0, signal)).total;
  // of all kinds, so that events are counted rather than inferred from the last seq
  const [all, console_, shown] = [await counted(KINDS), await counted(CONSOLE), await counted(PIECES)];
  state.lines += console_ - lines;
  state.events += all - (lastSeq + 1);
  if (all < lastSeq + 1) state.gaps.unshift(...(await findGaps(source, runId, lastSeq, all, signal)));
  state.checked = true;
  if (shown > seen) await findLeftOut(source, runId, known, signal);
}

/** Holes among the first `lastSeq` + 1 events, when there are `total` of them: a place is the `seq` unless some before it are missing. */
export async function findGaps(source: Source, runId: string, lastSeq: number, total: number, signal: AbortSignal): Promise<Gap[]> {
  const found: Gap[] = [];
  await halve(
    { place: -1, value: -1 },
    { place: total, value: lastSeq + 1 },
    async (place) => {
      const one = await source.window(runId, { kinds: KINDS, upto: lastSeq }, place, 1, signal);
      return one.events.length > 0 ? one.events.seq(0) : lastSeq + 1;
    },
    (low, high) => found.push({ from: low + 1, to: high - 1 }),
  );
  return found;
}

/** Mark the pieces before which some were left out. */
async function findLeftOut(source: Source, runId: string, pieces: Piece[], signal: AbortSignal): Promise<void> {
  if (pieces.length < 2) return;
  const rank = (at: number): Promise<number> => rankOf(source, runId, pieces[at]!, signal);
  const last = pieces.length - 1;
  await halve({ place: 0, value: await rank(0) }, { place: last, value: await rank(last) }, rank, (low, high, place) => {
    pieces[place]!.missing = high - low - 1;
  });
}

/** How many pieces there are up to this one, itself not counted. */
async function rankOf(source: Source, runId: string, piece: Piece, signal: AbortSignal): Promise<number> {
  return (await source.window(runId, { kinds: PIECES, upto: piece.seq }, 0, 0, signal)).total - 1;
}

/** The pieces that were left out next before this one; what is left out yet moves before the first of them. */
export async function missingBefore(source: Source, runId: string, piece: Piece, signal: AbortSignal): Promise<Piece[]> {
  const missing = piece.missing ?? 0;
  const wanted = Math.min(missing, FETCHED);
  if (wanted === 0) return [];
  const rank = await rankOf(source, runId, piece, signal);
  const { events } = await source.window(runId, { kinds: PIECES, upto: piece.seq }, rank - wanted, wanted, signal);
  const found = [...events].map(({ seq, ts, kind, agent, payload }): Piece => ({ seq, ts, kind: kind as Piece['kind'], agent, payload }));
  if (found[0]) found[0].missing = missing - found.length;
  piece.missing = 0;
  return found;
}

interface Mark {
  place: number;
  value: number;
}

/** Neighbours whose values are further apart than their places are, by halving; values grow with places. */
async function halve(
  first: Mark,
  last: Mark,
  valueAt: (place: number) => Promise<number>,
  hole: (low: number, high: number, place: number) => void,
): Promise<void> {
  let probes = 0;
  const search = async (low: Mark, high: Mark): Promise<void> => {
    if (high.value - low.value <= high.place - low.place) return;
    if (high.place - low.place === 1) {
      hole(low.value, high.value, high.place);
      return;
    }
    if (++probes > MAX_PROBES) throw new Error(t('there are too many holes'));
    const place = (low.place + high.place) >> 1;
    const middle = { place, value: await valueAt(place) };
    await search(low, middle);
    await search(middle, high);
  };
  try {
    await search(first, last);
  } catch (error) {
    if (aborted(error) || probes <= MAX_PROBES) throw error;
  }
}
