// A run as it happened, with a player.

import { REPLAY_CSS, mountReplay } from '../views/replay.ts';
import { root } from '../views/theme.ts';
import { type Model, widget } from './_widget.ts';

export default widget((model: Model, el, source, signal) => {
  let current = new AbortController();
  const show = (): void => {
    current.abort();
    current = new AbortController();
    const ending = AbortSignal.any([signal, current.signal]);
    const options = { compact: model.get('compact') !== false, play: model.get('play') === true };
    mountReplay(root(el, REPLAY_CSS, ending), source, model.get('run_id') as string, ending, {}, options);
  };
  model.on('change:run_id', show);
  signal.addEventListener('abort', () => model.off('change:run_id', show), { once: true });
  show();
});
