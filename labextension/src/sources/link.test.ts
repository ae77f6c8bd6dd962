import { afterEach, describe, expect, it } from 'vitest';
import { until } from '../views/_testing.ts';
import { Scripted, reply } from './_testing.ts';
import { Link, type LinkState, mismatch } from './link.ts';
import { type Reply, Unreachable } from './transport.ts';

const health = (log = 'abc'): Reply => reply(200, JSON.stringify({ status: 'ok', version: '0.1.0', log }));
let life = new AbortController();

afterEach(() => {
  life.abort();
  life = new AbortController();
});

function linked(answers: () => Reply): { link: Link; seen: LinkState[]; asked: () => number } {
  const transport = new Scripted(() => answers());
  const link = new Link(transport, life.signal);
  const seen: LinkState[] = [];
  link.state.watch((state) => seen.push(state), life.signal);
  return { link, seen, asked: () => transport.asked.length };
}

describe('the link', () => {
  it('asks nobody before it is started, and once however often it is started', async () => {
    const { link, seen, asked } = linked(health);
    expect(asked()).toBe(0);
    link.start();
    link.start();
    await until(() => link.live);
    expect(seen.map(({ kind }) => kind)).toEqual(['off', 'connecting', 'live']);
    expect(asked()).toBe(1);
  });

  it.each<[string, () => Reply]>([
    ['absent', () => reply(404, '<html>not here</html>')],
    ['denied', () => reply(403, JSON.stringify({ type: 'x', title: '', status: 403, detail: 'sign in' }))],
    ['silent', () => { throw new Unreachable('nobody'); }],
    ['silent', () => reply(200, '{"hello": "world"}')],
  ])('says %s where that is what is wrong', async (kind, answer) => {
    const { link } = linked(answer);
    link.start();
    await until(() => link.state.get().kind === kind, kind);
  });

  it('tries again on its own, and at once when asked, and says lost where it was there before', async () => {
    let up = true;
    const { link, seen } = linked(() => {
      if (!up) throw new Unreachable('gone');
      return health();
    });
    link.start();
    await until(() => link.live);
    up = false;
    await expect(link.source.flows()).rejects.toThrow('gone');
    await until(() => link.state.get().kind === 'lost');
    up = true;
    link.retry();
    await until(() => link.live);
    expect(seen.map(({ kind }) => kind)).toEqual(['off', 'connecting', 'live', 'lost', 'live']);
  });

  it('tells of another log', async () => {
    let log = 'one';
    let up = true;
    const { link } = linked(() => {
      if (!up) throw new Unreachable('gone');
      return health(log);
    });
    link.start();
    await until(() => link.live);
    up = false;
    await link.source.flows().catch(() => undefined);
    await until(() => !link.live);
    [up, log] = [true, 'two'];
    link.retry();
    await until(() => link.live);
    expect(link.state.get()).toEqual({ kind: 'live', log: 'two', version: '0.1.0' });
  });
});

describe('versions', () => {
  it('fit within a release', () => {
    expect(mismatch('0.1.0', '0.1.7')).toBeNull();
    expect(mismatch('1.2.0rc1', '1.2.3')).toBeNull();
  });

  it('say on which side something is to be done', () => {
    expect(mismatch('0.2.0', '0.1.0')).toContain('reload the page');
    expect(mismatch('0.1.0', '0.2.0')).toContain('restart the Jupyter server');
    expect(mismatch('0.10.0', '0.9.0')).toContain('reload the page');
  });
});
