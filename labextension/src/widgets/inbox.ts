// Everything that waits for a person. Trait: `count`, how many wait.

import { Value } from '../sources/value.ts';
import { INBOX_CSS, mountInbox } from '../views/inbox.ts';
import { root } from '../views/theme.ts';
import { hostOf, widget } from './_widget.ts';

export default widget((model, el, source, signal) => {
  const count = new Value(-1);
  count.watch((waiting) => {
    if (waiting < 0) return;
    model.set('count', waiting);
    model.save_changes();
  }, signal);
  mountInbox(root(el, INBOX_CSS, signal), source, signal, hostOf(model), { count });
});
