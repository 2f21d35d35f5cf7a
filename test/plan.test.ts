// What `plan` says of files that cannot become objects.
import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { planConfig } from '../src/plan.ts';
import { configOf, configWith } from './config/helpers.ts';
import { testBucket } from './helpers/bucket.ts';
import { temporaryDirectory } from './helpers/temporary.ts';

test('a file that its rules make impossible is planned to fail, and not to be uploaded', async () => {
  const directory = temporaryDirectory();
  fs.mkdirSync(path.join(directory, 'documents'));
  for (const name of ['a.log', 'b.txt']) fs.writeFileSync(path.join(directory, 'documents', name), name);
  const tags = (names: string) => names.replaceAll(/./g, '$&: x, ');
  const rules = `rules: [{match: "*.{log,x}", tags: {${tags('abcdef')}}}, {match: "*.log", tags: {${tags('ghijk')}}}]`;
  const config = configOf(configWith({ folder: rules }), {}, directory);
  const bucket = await testBucket();
  const { actions } = await planConfig({
    ...config,
    destinations: new Map([['backup', bucket.destination()]]),
  });
  expect(actions.map(({ path, action, reason }) => `${path}: ${action} (${reason})`)).toEqual([
    'a.log: fail (too-many-tags)',
    'b.txt: upload (new)',
  ]);
  expect(bucket.count('PutObject')).toBe(0);
});
