import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { reply } from '../sources/_testing.ts';
import { Unreachable } from '../sources/transport.ts';
import { RUN, type Said, Stage, until } from './_testing.ts';
import type { Host } from './host.ts';
import { type RunOptions, mountRun } from './run.ts';

// jsdom lays nothing out, so nothing ever changes its size
globalThis.ResizeObserver = class {
  observe(): void {}
  unobserve(): void {}
  disconnect(): void {}
};

let place: HTMLElement;
let controller: AbortController;
beforeEach(() => {
  place = document.createElement('div');
  place.className = 'kl';
  document.body.append(place);
  controller = new AbortController();
});
afterEach(() => {
  controller.abort();
  place.remove();
});

const started: Said[] = [['meta', { flow: 'primes' }], ['inputs', { end: 10 }], ['status', { status: 'running' }]];
const done: Said[] = [...started, ['result', { 'text/plain': 'a piece' }], ['final', { 'application/json': { gaps: 3 } }], ['status', { status: 'finished' }]];

async function show(stage: Stage, options: RunOptions = {}, host: Host = {}): Promise<void> {
  stage.row = { inputs: { end: 10, key: { secret: true } }, ...stage.row };
  mountRun(place, stage.source, RUN, options, controller.signal, host);
  await until(() => place.querySelector('.kl-run-main:not([hidden])'), 'the view');
}

const text = (selector: string): string => place.querySelector(selector)?.textContent ?? '';
const button = (name: string): HTMLButtonElement =>
  [...place.querySelectorAll('button')].find((one) => (one.getAttribute('aria-label') ?? one.textContent).startsWith(name) && !one.closest('[hidden]'))!;
const tabs = (): string[] => [...place.querySelectorAll('[role=tab]:not([hidden])')].map((tab) => tab.textContent);
const chosen = (): string => text('[role=tab][aria-selected=true]');
const panel = (): HTMLElement => place.querySelector<HTMLElement>('[role=tabpanel]:not([hidden])')!;

describe('the head', () => {
  it('says what runs, since when, and whose it is', async () => {
    const stage = new Stage(...started);
    await show(stage);
    expect([text('.kl-status'), text('.kl-run-flow'), text('.kl-run-id')]).toEqual(['running', 'primes', '000000a3']);
    expect(text('.kl-run-about')).toContain('ada');
    expect(place.querySelector('.kl-run-about time')!.getAttribute('title')).not.toBe('');
    expect(place.querySelector('section')!.getAttribute('aria-label')).toBe('Run primes 000000a3');
    stage.say(['status', { status: 'starting', reason: 'attempt 1 ended as error: no; retry 1 of 2' }, { attempt: 2 }]);
    await until(() => text('.kl-run-title').includes('attempt 2'));
    expect(text('.kl-run-why')).toContain('retry 1 of 2');
  });

  it('cancels only when it is confirmed, and says that it does', async () => {
    const stage = new Stage(...started);
    stage.routes['POST /cancel'] = () => reply(200, '{}');
    await show(stage);
    button('Cancel').click();
    expect(document.activeElement?.textContent).toBe('Cancel run');
    document.activeElement!.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', bubbles: true }));
    expect([document.activeElement?.textContent, stage.asked('POST')]).toEqual(['Cancel', []]);
    button('Cancel').click();
    button('Cancel run').click();
    await until(() => stage.asked('POST').length === 1);
    expect([button('Cancelling').disabled, button('Cancelling').textContent]).toEqual([true, 'Cancelling …']);
    stage.say(['status', { status: 'running', cancelling: 'cancelled' }]);
    await until(() => text('.kl-status') === 'cancelling');
    stage.say(['status', { status: 'cancelled', reason: 'cancelled by ada' }]);
    await until(() => text('.kl-status') === 'cancelled');
    expect([button('Cancel'), text('.kl-run-why')]).toEqual([undefined, 'cancelled by ada']);
  });

  it('says why acting is off where the cluster cannot be reached', async () => {
    const stage = new Stage(...started);
    const problem = { type: 'urn:kodosumi-lab:problem:cluster', title: '', status: 503, detail: 'no cluster writes this log' };
    stage.routes['POST /cancel'] = () => reply(503, JSON.stringify(problem));
    await show(stage);
    button('Cancel').click();
    button('Cancel run').click();
    await until(() => text('.kl-run-wrong') !== '');
    expect(text('.kl-run-wrong')).toBe('Not cancelled: no cluster writes this log');
    await until(() => text('.kl-run-off') !== '', 'the foot', 4000);
    expect([text('.kl-run-off'), button('Rerun').disabled]).toEqual(['Cancel and Rerun are off: no cluster writes this log', true]);
    button('Try again').click();
    await until(() => !button('Rerun').disabled, 'another chance', 4000);
  });

  it('has a menu for the keyboard', async () => {
    await show(new Stage(...started));
    button('More actions').focus();
    button('More actions').dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowDown', bubbles: true }));
    expect(document.activeElement?.textContent).toBe('Copy id');
    document.activeElement!.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowUp', bubbles: true }));
    expect(document.activeElement?.textContent).toBe('Download events (CSV)');
    document.activeElement!.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', bubbles: true }));
    expect([button('More actions').getAttribute('aria-expanded'), document.activeElement === button('More actions')]).toEqual(['false', true]);
  });
});

describe('tabs', () => {
  it('are there when they have something, with how much', async () => {
    const stage = new Stage(...started, ['result', { 'text/plain': 'a' }]);
    await show(stage);
    await until(() => tabs().length === 3);
    expect(tabs()).toEqual(['Results1', 'Events4', 'Inputs']);
    stage.say(
      ['stdout', 'line'], ['span', { id: 's', name: 'work', state: 'open', parent: null }], ['metric', { name: 'm', value: 1 }],
      ['upload', { files: [{ path: 'out/a', size: 1, last_modified: 1 }] }],
    );
    await until(() => tabs().length === 7);
    expect(tabs()).toEqual(['Results1', 'Console1', 'Timeline1', 'Metrics1', 'Events8', 'Inputs', 'Files1']);
  });

  it('go by arrow keys, and stay where they were put', async () => {
    const kept: string[] = [];
    const stage = new Stage(...done);
    await show(stage, { onTab: (tab) => kept.push(tab) });
    const press = (key: string): boolean => document.activeElement!.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
    place.querySelector<HTMLElement>('[role=tab]')!.focus();
    press('End');
    expect([document.activeElement?.textContent, panel().textContent]).toEqual(['Inputs', expect.stringContaining('end')]);
    expect(panel().getAttribute('aria-labelledby')).toBe(document.activeElement!.id);
    press('ArrowRight');
    expect(chosen()).toBe('Results2');
    press('ArrowLeft');
    expect([chosen(), kept]).toEqual(['Inputs', ['inputs', 'results', 'inputs']]);
    stage.say(['result', { 'text/plain': 'late' }]);
    await until(() => tabs()[0] === 'Results3');
    expect(chosen()).toBe('Inputs');
  });

  it('open as they were left', async () => {
    await show(new Stage(...done), { tab: 'inputs' });
    expect(chosen()).toBe('Inputs');
    expect(panel().textContent).toContain('•••••• (secret)');
  });
});

describe('what is seen first', () => {
  it('is the result of a run that has ended, then how it came to it', async () => {
    await show(new Stage(...done));
    expect(chosen()).toBe('Results2');
    const pieces = [...panel().querySelectorAll('article')].map((piece) => piece.getAttribute('data-kind'));
    expect(pieces).toEqual(['final', 'result']);
    await until(() => text('.kl-run-whole').startsWith('complete'));
    expect([text('.kl-run-whole'), text('.kl-run-live')]).toEqual(['complete · 6 events', expect.stringMatching(/live|^$/)]);
  });

  it('is the error of a run that has failed, with its traceback', async () => {
    const error = { type: 'ValueError', message: 'told to fail', traceback: 'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    x()\nValueError: told to fail\n' };
    await show(new Stage(...started, ['result', { 'text/plain': 'a' }], ['error', error], ['status', { status: 'error', reason: 'ValueError: told to fail' }]));
    expect(chosen()).toBe('Error');
    expect(text('.kl-traceback')).toContain('File "a.py", line 1');
    expect([text('.kl-run-why'), place.querySelector<HTMLElement>('.kl-run-why')!.dataset['bad']]).toEqual(['ValueError: told to fail', 'true']);
  });

  it('is why, where a run was lost without an error of its own', async () => {
    await show(new Stage(...started, ['status', { status: 'lost', reason: 'its Runner died' }]));
    expect([chosen(), text('.kl-failure-why')]).toEqual(['Error', 'The run was lost: its Runner died']);
  });
});

describe('while it goes on', () => {
  it('results and answers come in their order', async () => {
    const stage = new Stage(...started, ['lock', { lid: 'l', name: 'approval', expires: null }]);
    await show(stage);
    stage.say(['result', { 'text/plain': 'one' }, { agent: 'critic' }], ['lease', { lid: 'l', result: { ok: true }, by: 'bob' }], ['action', { 'text/plain': 'two' }]);
    await until(() => panel().querySelectorAll('article').length === 3);
    expect([...panel().querySelectorAll('article')].map((piece) => piece.textContent)).toEqual([
      expect.stringMatching(/^critic.*one/), expect.stringMatching(/approval answered by bob/), expect.stringMatching(/^step.*two/),
    ]);
  });

  it('progress is told, also by those who work below it', async () => {
    const stage = new Stage(...started);
    await show(stage);
    const bars = (): [string | null, string | null][] =>
      [...place.querySelectorAll('[role=progressbar]')].map((bar) => [bar.getAttribute('aria-label'), bar.getAttribute('aria-valuenow')]);
    expect(bars()).toEqual([['Progress', null]]);
    stage.say(['progress', { value: 3, total: 10, label: 'range 3', name: null }], ['progress', { value: 1, total: 4, label: null, name: 'chunk' }, { agent: 'reader' }]);
    await until(() => bars().length === 2);
    expect(bars()).toEqual([['Progress', '30'], ['reader · chunk', '25']]);
    expect(text('.kl-progress')).toContain('3 / 10 · 30 %');
  });

  it('what the page cannot hold is let go at the front, and what was left out comes when it is wanted', async () => {
    const stage = new Stage(...started, ...Array.from({ length: 300 }, (_, i): Said => ['result', { 'text/plain': `r${i}` }]));
    stage.inOverview = ({ kind, seq }) => kind !== 'result' || seq < 13 || seq >= 293;
    await show(stage);
    await until(() => button('Show 280'), 'the hole');
    expect([...tabs()][0]).toBe('Results300');
    button('Show 280').click();
    await until(() => button('Show 180'), 'the hole, smaller');
    const shown = [...panel().querySelectorAll('article .kl-text')].map((one) => one.textContent);
    expect([shown.length, shown[10], shown.at(-1)]).toEqual([120, 'r190', 'r299']);
  });

  it('a hole in the log is told, and a lost connection', async () => {
    const stage = new Stage(...started);
    await show(stage);
    stage.say(['stdout', 'late', { seq: 7 }]);
    await until(() => text('.kl-run-whole').startsWith('missing'));
    expect(text('.kl-run-whole')).toBe('missing: seq 3–6 · 4 events');
    const send = stage.transport.send.bind(stage.transport);
    stage.transport.send = () => Promise.reject(new Unreachable('down'));
    stage.breakOff();
    await until(() => /^as of \d\d:\d\d, reconnecting …$/.test(text('.kl-run-live')));
    stage.transport.send = send;
    await until(() => text('.kl-run-live') === 'live');
  });

  it('an open question is asked on top, and goes when it is answered elsewhere', async () => {
    const stage = new Stage(...started, ['lock', { lid: 'l', name: 'approval', expires: null }], ['status', { status: 'awaiting', reason: "waiting for an answer to 'approval'" }]);
    let open = true;
    stage.routes['GET /locks/l'] = () =>
      reply(200, JSON.stringify({ lid: 'l', name: 'approval', data: null, expires: null, form: null, open, lease: open ? null : { by: 'bob', result: true } }));
    await show(stage);
    await until(() => button('Yes'), 'the question');
    expect([text('.kl-run-locks h3'), text('.kl-run-why'), stage.asked('/api/v1/locks')]).toEqual(['approval', '', []]);
    open = false;
    stage.say(['lease', { lid: 'l', result: true, by: 'bob' }], ['status', { status: 'running' }]);
    await until(() => text('.kl-run-locks').includes('bob has answered'), 'who was first');
    await until(() => place.querySelector<HTMLElement>('.kl-run-locks')!.hidden, 'the end of it', 5000);
  });
});

describe('rerun', () => {
  const elements = [{ type: 'number', name: 'end', label: 'End', value: 10 }, { type: 'text', name: 'name', label: 'Name', value: 'x' }];

  function staged(): Stage {
    const stage = new Stage(...done);
    stage.routes['GET /form'] = () => reply(200, JSON.stringify(elements));
    stage.routes['POST /rerun'] = () => reply(201, JSON.stringify({ run_id: '01990000-0000-7000-8000-0000000000b4', status: 'starting' }));
    return stage;
  }

  async function change(): Promise<void> {
    button('Rerun').click();
    await until(() => place.querySelector('.kl-rerun [data-name=end] input'), 'the form');
    expect(text('.kl-rerun-told')).toBe('The same inputs as before.');
    const input = place.querySelector<HTMLInputElement>('.kl-rerun [data-name=end] input')!;
    input.value = '25';
    input.dispatchEvent(new Event('input', { bubbles: true }));
    expect(text('.kl-rerun-told')).toBe('Changed: end (10 → 25)');
    expect(place.querySelectorAll('.kl-changed')).toHaveLength(1);
  }

  it('says what was changed, and shows the new run where the host does', async () => {
    const opened: string[] = [];
    const stage = staged();
    await show(stage, {}, { openRun: (id) => opened.push(id) });
    await change();
    [...place.querySelectorAll<HTMLButtonElement>('.kl-rerun button')].find((one) => one.textContent === 'Rerun')!.click();
    await until(() => opened.length === 1);
    expect(opened[0]).toMatch(/b4$/);
    expect(JSON.parse(stage.asked('POST')[0]!.body as string)).toEqual({ form: { end: '25', name: 'x' } });
    expect(place.querySelector<HTMLElement>('.kl-rerun')!.hidden).toBe(true);
  });

  it('goes on in place without one, with a way back', async () => {
    const shown: string[] = [];
    await show(staged(), { onRun: (id) => shown.push(id.slice(-2)) });
    await change();
    [...place.querySelectorAll<HTMLButtonElement>('.kl-rerun button')].find((one) => one.textContent === 'Rerun')!.click();
    await until(() => button('‹ back'), 'the way back');
    button('‹ back').click();
    await until(() => text('.kl-run-id') === '000000a3', 'the run before');
    expect(shown).toEqual(['b4', 'a3']);
  });

  it('is possible where there is no form', async () => {
    const stage = staged();
    stage.routes['GET /form'] = () => reply(404, JSON.stringify({ type: 'urn:kodosumi-lab:problem:flow-not-found', title: '', status: 404, detail: 'there is no flow primes' }));
    await show(stage);
    button('Rerun').click();
    await until(() => button('Rerun with the same inputs'));
    expect(text('.kl-rerun')).toContain('there is no flow primes');
    button('Rerun with the same inputs').click();
    await until(() => stage.asked('POST').length === 1);
  });
});

describe('a run that cannot be shown', () => {
  it('says why', async () => {
    const stage = new Stage();
    stage.routes['GET '] = () => reply(404, JSON.stringify({ type: 'urn:kodosumi-lab:problem:run-not-found', title: '', status: 404, detail: 'there is no run a3' }));
    mountRun(place, stage.source, RUN, {}, controller.signal, {});
    await until(() => place.querySelector('.kl-run-waiting [role=alert]'));
    expect(text('.kl-run-waiting [role=alert]')).toBe('This run cannot be shown: there is no run a3');
  });

  it('leaves nothing behind', async () => {
    const stage = new Stage(...started);
    await show(stage);
    controller.abort();
    expect(place.childElementCount).toBe(0);
    const { length } = stage.transport.asked;
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(stage.transport.asked.length).toBe(length);
  });
});
