// Ids of commands, and what more than one plugin says about them.

export const Commands = {
  openView: 'kodosumi:open-view',
  openRun: 'kodosumi:open-run',
  openRuns: 'kodosumi:open-runs',
  openInbox: 'kodosumi:open-inbox',
  openDashboard: 'kodosumi:open-dashboard',
  launchFlow: 'kodosumi:launch-flow',
  cancelRun: 'kodosumi:cancel-run',
  rerun: 'kodosumi:rerun',
  rerunChanged: 'kodosumi:rerun-changed',
  insertCode: 'kodosumi:insert-code',
  watchRun: 'kodosumi:watch-run',
  exportRun: 'kodosumi:export-run',
  copyRunId: 'kodosumi:copy-run-id',
  showSidebar: 'kodosumi:show-sidebar',
  refresh: 'kodosumi:refresh',
  connect: 'kodosumi:connect',
  goToCell: 'kodosumi:go-to-cell',
  runsOfCell: 'kodosumi:runs-of-cell',
} as const;

export const CATEGORY = 'Kodosumi';

export const SIDEBAR = 'kodosumi-lab-sidebar';

/** Elements of a run or a flow carry these, so that a menu or a drag knows what it is about. */
export const RUN_SELECTOR = '[data-run-id]';
export const FLOW_SELECTOR = '[data-flow-name]';

/** A JSON schema of a command's arguments, all of which are optional texts. */
export function texts(described: Record<string, string>): { args: { type: string; properties: Record<string, { type: string; description: string }> } } {
  const properties = Object.fromEntries(Object.entries(described).map(([name, description]) => [name, { type: 'string', description }]));
  return { args: { type: 'object', properties } };
}
