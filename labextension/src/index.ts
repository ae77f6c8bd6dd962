// The plugins of the JupyterLab extension; each says in its own file what it is for.

import { commands } from './plugins/commands.ts';
import { connection, feed } from './plugins/connection.ts';
import { exporting } from './plugins/exporting.ts';
import { files } from './plugins/files.ts';
import { host } from './plugins/host.ts';
import { notifications } from './plugins/notifications.ts';
import { provenance } from './plugins/provenance.ts';
import { renderer } from './plugins/renderer.ts';
import { settings } from './plugins/settings.ts';
import { sidebar } from './plugins/sidebar.ts';
import { status } from './plugins/status.ts';
import { tabs } from './plugins/tabs.ts';
import { watched } from './plugins/watched.ts';

export * from './plugins/tokens.ts';

export default [settings, connection, feed, host, watched, tabs, commands, sidebar, status, notifications, renderer, provenance, exporting, files];
