import { describe, expect, it } from 'vitest';
import { originOf, serverPath } from './origin.ts';

describe('where a run was launched', () => {
  it('is told by its meta, or not at all', () => {
    const notebook = { path: '/home/ada/one.ipynb', cell: 'c1', source_sha256: 'ff' };
    expect(originOf({ notebook })).toEqual(notebook);
    expect(originOf({})).toBeNull();
    expect(originOf({ notebook: null })).toBeNull();
    expect(originOf({ notebook: { path: 'x' } })).toBeNull();
  });

  it.each([
    ['/home/ada/work/a/one.ipynb', '/home/ada/work', 'a/one.ipynb'],
    ['/home/ada/work/one.ipynb', '/home/ada/work/', 'one.ipynb'],
    ['/home/ada/workshop/one.ipynb', '/home/ada/work', null],
    ['/home/ada/work/one.ipynb', '~/work', 'one.ipynb'],
    ['/srv/one.ipynb', '~/work', null],
    ['C:\\Users\\ada\\one.ipynb', 'C:/Users/ada', 'one.ipynb'],
  ])('%s below %s is %s', (path, root, expected) => {
    expect(serverPath(path, root)).toBe(expected);
  });
});
