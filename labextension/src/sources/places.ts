// How many streams may be open at once. A browser holds six connections to a server that speaks HTTP/1.1, over all
// its tabs; a notebook with twenty live runs must leave some for the kernel and the files.

const PLACES = 3;

const names = Array.from({ length: PLACES }, (_, i) => `kodosumi-lab-stream-${i}`);

/** Each widget is a module of its own: what they share lies where all of them find it. */
const here = globalThis as { kodosumiLabStreams?: number };

/** A place for a stream, to be given back by calling it; null while all are taken. */
export async function takePlace(signal: AbortSignal): Promise<(() => void) | null> {
  const { locks } = navigator as { locks?: LockManager };
  if (!locks) return countedPlace(); // pages over plain HTTP know nothing of other tabs
  for (const name of names) {
    if (signal.aborted) return null;
    const given = await new Promise<(() => void) | null>((resolve) => {
      const held = (lock: Lock | null): Promise<void> | undefined => {
        if (lock) return new Promise((giveBack) => resolve(giveBack));
        resolve(null);
        return undefined;
      };
      locks.request(name, { ifAvailable: true }, held).catch(() => resolve(null));
    });
    if (given) return given;
  }
  return null;
}

function countedPlace(): (() => void) | null {
  const taken = here.kodosumiLabStreams ?? 0;
  if (taken >= PLACES) return null;
  here.kodosumiLabStreams = taken + 1;
  let mine = true;
  return () => {
    if (mine) here.kodosumiLabStreams = (here.kodosumiLabStreams ?? 1) - 1;
    mine = false;
  };
}
