// What a store is found to do, on every kind of store that the local server can play.
import { expect, onTestFinished, test } from 'vitest';
import type { Capabilities } from '../../src/core/capabilities.ts';
import { probe } from '../../src/transfer/probe.ts';
import { connect } from '../../src/transfer/connect.ts';
import { S3Destination } from '../../src/transfer/s3.ts';
import { testBucket, type Bucket } from '../helpers/bucket.ts';
import { put, written } from '../helpers/destination-suite.ts';
import { ifMatch } from '../helpers/given.ts';
import type { LegacySwitch } from '../s3-server/legacy.ts';

const enforcesAll: Capabilities = {
  putIfAbsent: true,
  putIfMatch: 'quoted',
  completeIfAbsent: true,
  copySourceIfMatch: true,
  copyIfAbsent: true,
  copyIfMatch: true,
  checksums: true,
  multipartTags: true,
  deleteIfMatch: true,
};

function open(bucket: Bucket): S3Destination {
  const config = bucket.destination();
  const client = connect(config);
  onTestFinished(() => client.destroy());
  return new S3Destination(config, client);
}

test.each<[string, LegacySwitch[], Partial<Capabilities>]>([
  ['S3', [], {}],
  [
    'one that ignores If-None-Match',
    ['ignore-if-none-match'],
    { putIfAbsent: false, copyIfAbsent: false, completeIfAbsent: false },
  ],
  ['one that ignores If-Match', ['ignore-if-match'], { putIfMatch: 'no', copyIfMatch: false }],
  ['one that ignores conditions on Complete', ['ignore-conditions-on-complete'], { completeIfAbsent: false }],
  [
    'one that ignores conditions on copies',
    ['ignore-conditions-on-copy'],
    { copySourceIfMatch: false, copyIfAbsent: false, copyIfMatch: false },
  ],
  ['one that wants If-Match without quotes', ['if-match-unquoted-only'], { putIfMatch: 'unquoted' }],
  ['one that answers 412 for a missing key', ['if-match-missing-412'], {}],
  [
    'one that refuses conditions',
    ['reject-conditions'],
    {
      putIfAbsent: false,
      putIfMatch: 'no',
      copySourceIfMatch: false,
      copyIfAbsent: false,
      copyIfMatch: false,
      completeIfAbsent: false,
      deleteIfMatch: false,
    },
  ],
  ['one that ignores If-Match on DeleteObject', ['ignore-conditions-on-delete'], { deleteIfMatch: false }],
  ['one that drops checksums', ['ignore-checksums'], { checksums: false }],
  ['one that drops tags of uploads in parts', ['drop-multipart-tags'], { multipartTags: false }],
  ['one that has no tags', ['reject-tagging'], { multipartTags: false }],
  ['one whose ETags say nothing', ['opaque-etags'], {}],
  ['one that completes without an ETag', ['empty-complete-etag'], {}],
  [
    'Ceph RGW 16',
    [
      'ignore-conditions-on-complete',
      'ignore-conditions-on-copy',
      'ignore-conditions-on-delete',
      'if-match-unquoted-only',
      'if-match-missing-412',
      'drop-multipart-tags',
      'empty-complete-etag',
    ],
    {
      putIfMatch: 'unquoted',
      copySourceIfMatch: false,
      copyIfAbsent: false,
      copyIfMatch: false,
      completeIfAbsent: false,
      multipartTags: false,
      deleteIfMatch: false,
    },
  ],
])('%s', async (_store, legacy, differences) => {
  const bucket = await testBucket({ legacy });
  bucket.put('p/theirs', 'theirs');
  expect(await probe(open(bucket), 'p/')).toEqual({ ...enforcesAll, ...differences });
  expect(bucket.keys).toEqual(['p/theirs']);
  expect(bucket.uploads).toEqual([]);
});

test('afterwards If-Match is sent as the store wants it', async () => {
  const bucket = await testBucket({ legacy: ['if-match-unquoted-only'] });
  const destination = open(bucket);
  await probe(destination, '');
  const etag = await written(destination, 'k', 'one');
  expect(await put(destination, 'k', 'two', ifMatch(etag))).toMatchObject({ kind: 'written' });
});

test('another daemon that asks at the same key at the same moment does not make a store look worse', async () => {
  const bucket = await testBucket();
  const destination = open(bucket);
  const original = destination.put.bind(destination);
  let theirs = 0;
  destination.put = (...request) => {
    // Whoever is done removes the scratch object.
    if (request[4].kind === 'absent' && theirs++ === 0) bucket.remove(request[0]);
    return original(...request);
  };
  expect(await probe(destination, 'p/')).toEqual(enforcesAll);
  expect(theirs).toBe(2);
});

test('with the right to write alone it tells what it may not ask', async () => {
  const bucket = await testBucket({ authorise: (action) => action === 's3:PutObject' });
  expect(await probe(open(bucket), '')).toEqual({
    putIfAbsent: true,
    putIfMatch: 'denied',
    copySourceIfMatch: false,
    copyIfAbsent: false,
    copyIfMatch: false,
    completeIfAbsent: true,
    checksums: false,
    multipartTags: false,
    deleteIfMatch: 'denied',
  });
});

test('without the right to write it fails, with what to do', async () => {
  const bucket = await testBucket({ authorise: (action) => action !== 's3:PutObject' });
  await expect(probe(open(bucket), '')).rejects.toMatchObject({
    class: 'denied',
    message: expect.stringContaining('the credentials lack the right') as string,
  });
});

test('a store that is busy is not found to enforce nothing', async () => {
  const bucket = await testBucket();
  bucket.server.faults.add({
    kind: 'answer',
    status: 503,
    code: 'SlowDown',
    operation: 'PutObject',
    at: [3, 4, 5, 6],
  });
  await expect(probe(open(bucket), '')).rejects.toMatchObject({ class: 'throttled' });
});
