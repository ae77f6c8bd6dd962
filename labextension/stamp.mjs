// What the committed bundles were made of: a hash that a test without Node can check.
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';

const here = import.meta.dirname;
const files = readdirSync(join(here, 'src'), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && !/\.test\.ts$|^_testing\.ts$|^_bundles\.json$/.test(entry.name))
  .map((entry) => join(entry.parentPath, entry.name));
for (const name of ['package-lock.json', 'package.json', 'build.mjs', 'rspack.config.cjs', 'schema/plugin.json', 'style/index.css']) files.push(join(here, name));
const hash = createHash('sha256');
for (const path of files.map((path) => [relative(here, path).split(sep).join('/'), path]).sort((a, b) => (a[0] < b[0] ? -1 : 1))) {
  hash.update(path[0] + '\0');
  hash.update(readFileSync(path[1]));
}
writeFileSync(join(here, '..', 'kodosumi_lab', 'widgets', 'static', 'SOURCES.sha256'), hash.digest('hex') + '\n');
