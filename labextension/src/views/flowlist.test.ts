import { afterEach, describe, expect, it } from 'vitest';
import { Scripted, reply } from '../sources/_testing.ts';
import { Source } from '../sources/source.ts';
import type { FlowInfo } from '../wire.ts';
import { until } from './_testing.ts';
import { mountFlowList } from './flowlist.ts';

const flow = (name: string, more: Partial<FlowInfo> = {}): FlowInfo =>
  ({ name, summary: `About ${name}`, description: '', tags: ['math'], source: 'm', state: 'ok', reason: '', schema: {}, ...more }) as FlowInfo;

let life = new AbortController();
afterEach(() => {
  life.abort();
  life = new AbortController();
});

function shown(flows: FlowInfo[]): { said: string[]; asked: () => string[] } {
  const transport = new Scripted(({ path }) => {
    const words = new URL(path, 'http://x').searchParams.get('search') ?? '';
    return reply(200, JSON.stringify(flows.filter(({ name }) => name.includes(words))));
  });
  const said: string[] = [];
  mountFlowList(document.body, new Source(transport), { launch: (name) => said.push(`launch ${name}`), insert: (name) => said.push(`insert ${name}`) }, life.signal);
  return { said, asked: () => transport.asked.map(({ path }) => path) };
}

const button = (text: string): HTMLButtonElement | undefined => [...document.querySelectorAll('button')].find((one) => one.textContent === text);

describe('the list of flows', () => {
  it('launches and inserts', async () => {
    const { said } = shown([flow('primes')]);
    await until(() => button('About primes'));
    button('About primes')!.click();
    button('Code')!.click();
    expect(said).toEqual(['launch primes', 'insert primes']);
    expect(document.querySelector('li')!.dataset['flowName']).toBe('primes');
  });

  it('says why a flow cannot be launched', async () => {
    shown([flow('', { state: 'failed', source: 'broken.module', summary: '', reason: 'SyntaxError: line 3' })]);
    await until(() => button('broken.module'));
    expect(button('broken.module')!.disabled).toBe(true);
    expect(document.body.textContent).toContain('SyntaxError: line 3');
    expect(document.querySelector('li')!.dataset['flowName']).toBeUndefined();
  });

  it('finds by words', async () => {
    const { asked } = shown([flow('primes'), flow('review')]);
    await until(() => document.querySelectorAll('li').length === 2);
    const words = document.querySelector('input')!;
    words.value = 'rev';
    words.dispatchEvent(new Event('input'));
    await until(() => document.querySelectorAll('li').length === 1);
    expect(asked().at(-1)).toContain('search=rev');
  });

  it('says how flows come here where there are none', async () => {
    shown([]);
    await until(() => document.querySelector('[role=status]')!.textContent.includes('kodosumi-lab register'));
  });
});
