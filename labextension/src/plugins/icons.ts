// Icons of our own; they take the theme's colours by their classes.

import { LabIcon } from '@jupyterlab/ui-components';

const box = 'xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 32 32" fill="none"';
const line = 'class="jp-icon3" stroke="#616161" stroke-width="3" stroke-linecap="round" stroke-linejoin="round"';

/** An event stream that parts and comes together again. */
export const kodosumiIcon = new LabIcon({
  name: 'kodosumi-lab:mark',
  svgstr: `<svg ${box}><path ${line} d="M3 16h6c6 0 5-9 11-9h3M9 16c6 0 5 9 11 9h3M9 16h20"/>
<circle class="jp-icon3" cx="26" cy="7" r="2.6" fill="#616161"/><circle class="jp-icon3" cx="26" cy="25" r="2.6" fill="#616161"/></svg>`,
});

/** A question, and the tray it lies in. */
export const inboxIcon = new LabIcon({
  name: 'kodosumi-lab:inbox',
  svgstr: `<svg ${box}><path ${line} d="M4 18v8h24v-8l-4-12H8zM4 18h7l2 4h6l2-4h7"/></svg>`,
});

/** Bars of different heights. */
export const dashboardIcon = new LabIcon({
  name: 'kodosumi-lab:dashboard',
  svgstr: `<svg ${box}><path ${line} d="M4 28h24M9 23v-7M16 23V6M23 23V12"/></svg>`,
});
