import { afterEach, describe, expect, it } from 'vitest';
import { reply } from '../sources/_testing.ts';
import { RUN, type Said, Stage, until } from './_testing.ts';
import { RunStore, complete } from './store.ts';

const started: Said[] = [['meta', { flow: 'primes' }], ['inputs', {}], ['stdout', 'one'], ['stdout', 'two'], ['status', { status: 'running' }]];
const refused = (kind: string, detail: string): (() => ReturnType<typeof reply>) => () =>
  reply(404, JSON.stringify({ type: `urn:kodosumi-lab:problem:${kind}`, title: '', status: 404, detail }));

let controller = new AbortController();
afterEach(() => {
  controller.abort();
  controller = new AbortController();
});

function open(stage: Stage): RunStore {
  return new RunStore(stage.source, RUN, controller.signal);
}

describe('a run that is followed', () => {
  it('has its overview first, then what comes, each once', async () => {
    const stage = new Stage(...started);
    const store = open(stage);
    const heard: number[] = [];
    store.onEvents((events) => heard.push(...[...events].map((event) => event.seq)), controller.signal);
    await store.ready;
    expect([store.state.status, store.state.events, store.state.lastSeq]).toEqual(['running', 5, 4]);
    await until(() => store.state.lines === 2, 'the number of lines');
    stage.say(['stdout', 'three'], ['result', 'r']);
    stage.say(['status', { status: 'finished' }]);
    stage.end();
    await until(() => store.state.status === 'finished');
    expect(heard).toEqual([5, 6, 7]);
    expect([store.state.events, store.state.lines, complete(store.state)]).toEqual([8, 3, true]);
    expect(stage.asked('/frames')[0]!.path).toContain('after=4');
  });

  it('goes on where it was after a broken connection, and while nobody looked', async () => {
    const stage = new Stage(...started);
    const store = open(stage);
    await store.ready;
    await until(() => stage.asked('/frames').length === 1);
    stage.breakOff();
    stage.say(['stdout', 'three']);
    await until(() => store.state.events === 6);
    expect(store.source.connection.get()).toBe('live');
    store.pause();
    const before = stage.asked('/frames').length;
    stage.say(['stdout', 'four'], ['stdout', 'five']);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect([store.state.events, stage.asked('/frames').length]).toEqual([6, before]);
    store.resume();
    await until(() => store.state.events === 8);
    expect([store.state.lines, store.state.gaps]).toEqual([5, []]);
  });

  it('says which events are missing, of those before and of those that come', async () => {
    const stage = new Stage(...started);
    stage.say(...Array.from({ length: 40 }, (_, i): Said => ['stdout', `line ${i}`]));
    stage.events.splice(10, 3);
    stage.events.splice(20, 1);
    const store = open(stage);
    await store.ready;
    await until(() => store.state.gaps.length === 2, 'the holes');
    expect(store.state.gaps).toEqual([{ from: 10, to: 12 }, { from: 23, to: 23 }]);
    stage.say(['stdout', 'late', { seq: 50 }]);
    await until(() => store.state.gaps.length === 3);
    expect([store.state.gaps[2], complete(store.state)]).toEqual([{ from: 45, to: 49 }, false]);
  });

  it('knows which results the overview has left out, and has them when they are wanted', async () => {
    const stage = new Stage(...started, ...Array.from({ length: 400 }, (_, i): Said => ['result', i]));
    stage.inOverview = ({ kind, seq }) => kind !== 'stdout' && (kind !== 'result' || seq < 55 || seq >= 355 || seq === 200);
    const store = open(stage);
    await store.ready;
    const marks = (): unknown[] => store.state.pieces.filter((piece) => piece.missing).map((piece) => [piece.seq, piece.missing]);
    await until(() => marks().length === 2, 'the marks');
    expect(marks()).toEqual([[200, 145], [355, 154]]);
    const late = store.state.pieces.find((piece) => piece.seq === 355)!;
    const found = await store.fetchBefore(late, controller.signal);
    expect([found.length, found[0]!.seq, found.at(-1)!.seq, marks()]).toEqual([100, 255, 354, [[200, 145], [255, 54]]]);
    await store.fetchBefore(found[0]!, controller.signal);
    expect(marks()).toEqual([[200, 145]]);
    const seqs = store.state.pieces.map((piece) => piece.seq);
    expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
    expect(seqs.length).toBe(50 + 1 + 50 + 154);
  });

  it('asks for its row again when its status changes, and for its place while it waits', async () => {
    const stage = new Stage(['meta', { flow: 'primes' }], ['status', { status: 'starting', reason: 'waiting for a slot' }]);
    stage.row = { place: 2, status: 'starting' };
    const store = open(stage);
    await store.ready;
    expect(store.state.row?.place).toBe(2);
    stage.row = { place: 1, status: 'starting' };
    await until(() => store.state.row?.place === 1, 'the next place', 5000);
    stage.row = { place: null };
    stage.say(['status', { status: 'running' }]);
    await until(() => store.state.row?.place === null, 'the row of a running run');
  });

  it('says why it cannot be shown', async () => {
    const stage = new Stage();
    stage.routes['GET '] = refused('run-not-found', 'there is no run 7');
    const store = open(stage);
    await until(() => store.problem.get());
    expect(store.problem.get()!.message).toBe('there is no run 7');
  });

  it('tries again until somebody answers', async () => {
    const stage = new Stage(...started);
    let away = true;
    const { transport } = stage;
    const send = transport.send.bind(transport);
    const { Unreachable } = await import('../sources/transport.ts');
    transport.send = (request) => (away ? Promise.reject(new Unreachable('down')) : send(request));
    const store = open(stage);
    await until(() => store.source.connection.get() === 'lost');
    away = false;
    await store.ready;
    expect([store.state.status, store.source.connection.get()]).toEqual(['running', 'live']);
  });

  it('has payloads that were let go, again', async () => {
    const stage = new Stage(...started, ['result', 'first'], ['result', 'second']);
    const store = open(stage);
    await store.ready;
    const [first] = store.state.pieces;
    first!.payload = null;
    expect(await store.payload(first!, controller.signal)).toBe('"first"');
    expect(await store.payload(store.state.pieces[1]!, controller.signal)).toBe('"second"');
  });

  it('asks nothing any more when its signal is aborted', async () => {
    const stage = new Stage(...started);
    const store = open(stage);
    await store.ready;
    await until(() => stage.asked('/frames').length === 1 && stage.asked('/runs?parent').length === 1);
    controller.abort();
    const count = stage.transport.asked.length;
    stage.say(['status', { status: 'awaiting' }]);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect([stage.transport.asked.length, store.state.status]).toEqual([count, 'running']);
  });
});
