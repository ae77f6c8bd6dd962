import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

describe('the texts of the front end', () => {
  it('are all listed for who translates them, and what is translated is kept', () => {
    const path = join(mkdtempSync(join(tmpdir(), 'words-')), 'kodosumi_lab.json');
    const update = () => {
      execFileSync(process.execPath, [join(import.meta.dirname, 'words.mjs'), path]);
      return JSON.parse(readFileSync(path, 'utf8'));
    };
    const made = update();
    for (const text of ['Loading…', 'awaiting', 'Any time', 'Cancel Run']) expect(made[text], text).toEqual([text]);
    expect(made['%1 run']).toEqual(['%1 run', '%1 runs']);
    writeFileSync(path, JSON.stringify({ ...made, 'Loading…': ['Lädt …'], 'no longer said': ['x'] }));
    const again = update();
    expect([again['Loading…'], again['no longer said']]).toEqual([['Lädt …'], undefined]);
  });
});
