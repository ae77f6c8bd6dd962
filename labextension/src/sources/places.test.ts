import { afterEach, describe, expect, it } from 'vitest';
import { until } from '../views/_testing.ts';
import { Scripted, arrowOf, frame, reply } from './_testing.ts';
import { takePlace } from './places.ts';
import { type Followed, Source } from './source.ts';
import type { Request } from './transport.ts';

const RUN = '01990000-0000-7000-8000-0000000000a3';
let life = new AbortController();

afterEach(() => {
  life.abort();
  life = new AbortController();
});

/** Take all places there are. */
async function takeAll(): Promise<(() => void)[]> {
  const taken = [];
  for (;;) {
    const place = await takePlace(life.signal);
    if (!place) return taken;
    taken.push(place);
  }
}

describe('places for streams', () => {
  it('are few, and free again when they are given back', async () => {
    const taken = await takeAll();
    expect(taken.length).toBe(3);
    taken[0]!();
    taken[0]!(); // giving back twice frees nothing of others
    const again = await takeAll();
    expect(again.length).toBe(1);
    [...taken, ...again].forEach((giveBack) => giveBack());
    expect((await takeAll()).map((giveBack) => giveBack()).length).toBe(3);
  });
});

function gateway(): { source: Source; asked: Request[]; events: number; status: string } {
  const state = { events: 3, status: 'running' };
  const transport = new Scripted((request) => {
    const after = Number(new URL(request.path, 'http://x').searchParams.get('after'));
    const some = Array.from({ length: state.events }, (_, seq) => ({ seq })).filter(({ seq }) => seq > after);
    if (request.path.includes('/events')) return reply(200, arrowOf(some));
    if (request.path.includes('/frames')) return reply(200, [frame(arrowOf(some)), frame(JSON.stringify({ end: { status: 'finished', last_seq: state.events - 1 } }))]);
    return reply(200, JSON.stringify({ status: state.status, last_seq: state.events - 1 }));
  }, 'http');
  return Object.assign(state, { source: new Source(transport), asked: transport.asked });
}

const told = (item: Followed): string => ('events' in item ? [...item.events].map(({ seq }) => seq).join() : 'end' in item ? item.end.status : 'gap');

describe('following a run', () => {
  it('streams while there is a place, and gives it back at the end', async () => {
    const { source, asked } = gateway();
    const got = [];
    for await (const item of source.follow(RUN, -1, life.signal)) got.push(told(item));
    expect(got).toEqual(['0,1,2', 'finished']);
    expect(asked.map(({ path }) => path).every((path) => path.includes('/frames'))).toBe(true);
    expect((await takeAll()).map((giveBack) => giveBack()).length).toBe(3);
  });

  it('looks from time to time while there is none, and misses nothing', async () => {
    const taken = await takeAll();
    const stage = gateway();
    const got: string[] = [];
    void (async () => {
      for await (const item of stage.source.follow(RUN, -1, life.signal)) got.push(told(item));
    })();
    await until(() => got.length === 1, 'the first look');
    Object.assign(stage, { events: 5, status: 'finished' });
    await until(() => got.length === 3, 'the end', 4000);
    expect(got).toEqual(['0,1,2', '3,4', 'finished']);
    expect(stage.asked.some(({ path }) => path.includes('/frames'))).toBe(false);
    taken.forEach((giveBack) => giveBack());
  });
});
