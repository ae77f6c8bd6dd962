// What a view may ask of the place it is shown in. Each has an answer that works everywhere.

export interface Host {
  /** Show a run, in a tab or beside; without it, views show it in place. */
  openRun?(runId: string): void;
  /** Put code where the person works. */
  insertCode?(code: string): void;
  /** Write a run to a file where the person keeps files; without it, the browser saves it as it saves files. */
  exportRun?(runId: string): Promise<void>;
  /** Tell the person something in passing. */
  notify?(message: string, kind: 'info' | 'success' | 'warning' | 'error'): void;
}

/** An event of the document, by which views ask the dashboard's page for a run; its detail is the run's id. */
export const OPEN_RUN = 'kodosumi:open-run';

/** Copy a text; false where the browser does not allow it. */
export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement('textarea');
    area.value = text;
    area.style.position = 'fixed';
    area.style.opacity = '0';
    document.body.append(area);
    area.select();
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- pages over plain HTTP have no clipboard
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}

/** Hand a file to the person. */
export function download(name: string, content: Blob): void {
  const url = URL.createObjectURL(content);
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
