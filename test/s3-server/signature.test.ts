// SigV4 against the examples which AWS publishes with their signatures, so that neither our code nor the
// SDK's is the judge of itself. AWS: "Signature Calculations for the Authorization Header" (single chunk,
// multiple chunks, trailing headers), "Query Parameters".
import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { createConnection } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import { Bucket, connect, outcome, raw, start, type Fixture } from './testing.ts';

const example = {
  accessKey: 'AKIAIOSFODNN7EXAMPLE',
  secretKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  buckets: ['examplebucket'],
  now: () => Date.UTC(2013, 4, 24),
};
const scope = 'AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request';
const emptyHash = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

function authorization(signedHeaders: string, signature: string): string {
  return `AWS4-HMAC-SHA256 Credential=${scope},SignedHeaders=${signedHeaders},Signature=${signature}`;
}

const getHeaders = {
  host: 'examplebucket.s3.amazonaws.com',
  range: 'bytes=0-9',
  'x-amz-content-sha256': emptyHash,
  'x-amz-date': '20130524T000000Z',
  authorization: authorization(
    'host;range;x-amz-content-sha256;x-amz-date',
    'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
  ),
};

const putHeaders = {
  host: 'examplebucket.s3.amazonaws.com',
  date: 'Fri, 24 May 2013 00:00:00 GMT',
  'content-length': 21,
  'x-amz-content-sha256': '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072',
  'x-amz-date': '20130524T000000Z',
  'x-amz-storage-class': 'REDUCED_REDUNDANCY',
  authorization: authorization(
    'date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class',
    '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
  ),
};

describe('the examples of AWS', () => {
  test('GET with a range, virtual-host style: verified, and the key is not there', async () => {
    await using fixture = await start(example);
    expect(await raw(fixture.server, 'GET', '/test.txt', getHeaders)).toMatchObject({ code: 'NoSuchKey' });
  });

  test('PUT of one piece', async () => {
    await using fixture = await start(example);
    const answer = await raw(fixture.server, 'PUT', '/test%24file.text', putHeaders, 'Welcome to Amazon S3.');
    expect(answer.status).toBe(200);
    const stored = fixture.server.store.current('examplebucket', 'test$file.text')!;
    expect(stored).toMatchObject({ size: 21, storageClass: 'REDUCED_REDUNDANCY' });
  });

  test('presigned GET', async () => {
    await using fixture = await start(example);
    const signature = 'aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404';
    const path = (given: string): string =>
      `/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${encodeURIComponent(scope)}` +
      `&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=${given}`;
    const headers = { host: 'examplebucket.s3.amazonaws.com' };
    expect(await raw(fixture.server, 'GET', path(signature), headers)).toMatchObject({ code: 'NoSuchKey' });
    const wrong = signature.replace('a', 'b');
    expect(await raw(fixture.server, 'GET', path(wrong), headers)).toMatchObject({
      code: 'SignatureDoesNotMatch',
    });
  });
});

const chunkHeaders = {
  host: 's3.amazonaws.com',
  'content-encoding': 'aws-chunked',
  'content-length': 66_824,
  'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
  'x-amz-date': '20130524T000000Z',
  'x-amz-decoded-content-length': 66_560,
  'x-amz-storage-class': 'REDUCED_REDUNDANCY',
  authorization: authorization(
    'content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class',
    '4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9',
  ),
};
const chunkSignatures = [
  'ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648',
  '0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497',
  'b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9',
];

function chunks(signatures: string[], end = '\r\n'): string {
  const sizes = [65_536, 1024, 0];
  const framed = sizes.map((size, index) => {
    const header = `${size.toString(16)};chunk-signature=${signatures[index]}\r\n`;
    return size === 0 ? header : `${header}${'a'.repeat(size)}\r\n`;
  });
  return framed.join('') + end;
}

function putChunks(fixture: Fixture, body: string): ReturnType<typeof raw> {
  return raw(fixture.server, 'PUT', '/examplebucket/chunkObject.txt', chunkHeaders, body);
}

describe('signed chunks', () => {
  test('the example of AWS is stored without its framing', async () => {
    await using fixture = await start(example);
    expect(await putChunks(fixture, chunks(chunkSignatures))).toMatchObject({ status: 200 });
    const stored = fixture.server.store.current('examplebucket', 'chunkObject.txt')!;
    expect(fixture.server.store.body(stored).equals(Buffer.alloc(66_560, 'a'))).toBe(true);
    expect(stored.headers).not.toHaveProperty('content-encoding');
  });

  test.each([0, 1, 2])('a wrong signature of chunk %i is refused and nothing is stored', async (index) => {
    await using fixture = await start(example);
    const wrong = chunkSignatures.with(index, '0'.repeat(64));
    expect(await putChunks(fixture, chunks(wrong))).toMatchObject({
      status: 403,
      code: 'SignatureDoesNotMatch',
    });
    expect(fixture.server.store.objects('examplebucket').size).toBe(0);
  });

  test('a changed byte in a chunk is refused', async () => {
    await using fixture = await start(example);
    const changed = chunks(chunkSignatures).replace('aaaaaaaa', 'aaabaaaa');
    expect(await putChunks(fixture, changed)).toMatchObject({ status: 403, code: 'SignatureDoesNotMatch' });
  });

  test('the example of AWS with a signed trailer; a changed trailer is refused', async () => {
    await using fixture = await start(example);
    const signatures = [
      'b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2',
      '1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7',
      '2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992',
    ];
    const headers = {
      host: 's3.amazonaws.com',
      'content-encoding': 'aws-chunked',
      'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER',
      'x-amz-date': '20130524T000000Z',
      'x-amz-decoded-content-length': 66_560,
      'x-amz-storage-class': 'REDUCED_REDUNDANCY',
      'x-amz-trailer': 'x-amz-checksum-crc32c',
      authorization: authorization(
        'content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer',
        '106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e',
      ),
    };
    const trailer = (checksum: string): string =>
      `x-amz-checksum-crc32c:${checksum}\r\n` +
      'x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n';
    const put = (checksum: string): ReturnType<typeof raw> =>
      raw(
        fixture.server,
        'PUT',
        '/examplebucket/chunkObject.txt',
        headers,
        chunks(signatures, trailer(checksum)),
      );
    expect(await put('sOO8/Q==')).toMatchObject({ status: 200 });
    expect(await put('AAAAAA==')).toMatchObject({ status: 403, code: 'SignatureDoesNotMatch' });
  });
});

describe('refused', () => {
  test.each([
    ['a changed signed header', { 'x-amz-storage-class': 'STANDARD' }, 'SignatureDoesNotMatch'],
    ['a header that is not signed', { 'x-amz-acl': 'public-read' }, 'AccessDenied'],
    ['another hash than that of the body', { 'x-amz-content-sha256': emptyHash }, 'SignatureDoesNotMatch'],
    ['no signature', { authorization: undefined }, 'AccessDenied'],
    ['half a signature', { authorization: 'AWS4-HMAC-SHA256 Credential=x' }, 'AuthorizationHeaderMalformed'],
    ['no hash', { 'x-amz-content-sha256': undefined }, 'InvalidRequest'],
  ])('%s', async (_what, changed, code) => {
    await using fixture = await start(example);
    const headers = Object.entries({ ...putHeaders, ...changed }).filter(([, value]) => value !== undefined);
    const body = 'Welcome to Amazon S3.';
    const answer = await raw(fixture.server, 'PUT', '/test%24file.text', Object.fromEntries(headers), body);
    expect(answer.code).toBe(code);
    expect(fixture.server.store.objects('examplebucket').size).toBe(0);
  });

  test('a body that was changed on the way', async () => {
    await using fixture = await start(example);
    const answer = await raw(fixture.server, 'PUT', '/test%24file.text', putHeaders, 'Welcome to Amazon S4.');
    expect(answer).toMatchObject({ status: 400, code: 'XAmzContentSHA256Mismatch' });
  });

  test('a body whose connection ends too early', async () => {
    await using fixture = await start(example);
    const socket = createConnection(fixture.server.port, '127.0.0.1');
    const lines = Object.entries(putHeaders).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.end(`PUT /test%24file.text HTTP/1.1\r\n${lines.join('')}\r\nWelcome`);
    expect(await text(socket)).toMatch(/^HTTP\/1.1 400 [^]*<Code>IncompleteBody<\/Code>/);
    expect(fixture.server.store.objects('examplebucket').size).toBe(0);
  });

  test.each([
    ['15 minutes', 15 * 60_000, 'NoSuchKey'],
    ['a second more', 15 * 60_000 + 1000, 'RequestTimeTooSkewed'],
    ['an hour the other way', -3_600_000, 'RequestTimeTooSkewed'],
  ])('a clock that is off by %s', async (_what, offsetMs, code) => {
    await using fixture = await start({ ...example, now: () => example.now() + offsetMs });
    expect(await raw(fixture.server, 'GET', '/test.txt', getHeaders)).toMatchObject({ code });
  });

  test('a presigned URL after its time', async () => {
    const clock = { nowMs: Date.now() };
    await using fixture = await start({ now: () => clock.nowMs });
    const url = await getSignedUrl(fixture.client, new GetObjectCommand({ Bucket, Key: 'a' }), {
      expiresIn: 60,
    });
    const path = url.slice(fixture.server.endpoint.length);
    const headers = { host: new URL(url).host };
    expect(await raw(fixture.server, 'GET', path, headers)).toMatchObject({ code: 'NoSuchKey' });
    clock.nowMs += 62_000;
    expect(await raw(fixture.server, 'GET', path, headers)).toMatchObject({
      status: 403,
      code: 'AccessDenied',
    });
  });

  test('a wrong region, an unknown key, a wrong token and an expired one', async () => {
    const session = { accessKey: 'TEMP', secretKey: 'temp-secret', sessionToken: 'token' };
    await using fixture = await start({ credentials: [session] });
    const { server } = fixture;
    const listWith = async (config: object): Promise<string> => {
      const client = connect(server, config);
      try {
        return await outcome(client.send(new ListObjectsV2Command({ Bucket })));
      } finally {
        client.destroy();
      }
    };
    const credentials = { accessKeyId: 'TEMP', secretAccessKey: 'temp-secret' };
    expect(await listWith({ region: 'eu-central-1' })).toBe('400 AuthorizationHeaderMalformed');
    expect(await listWith({ credentials: { accessKeyId: 'NOBODY', secretAccessKey: 'x' } })).toBe(
      '403 InvalidAccessKeyId',
    );
    expect(await listWith({ credentials })).toBe('400 InvalidToken');
    expect(await listWith({ credentials: { ...credentials, sessionToken: 'other' } })).toBe(
      '400 InvalidToken',
    );
    expect(await listWith({ credentials: { ...credentials, sessionToken: 'token' } })).toBe('200');
    server.credentials.set('TEMP', { ...session, isExpired: true });
    expect(await listWith({ credentials: { ...credentials, sessionToken: 'token' } })).toBe(
      '400 ExpiredToken',
    );
  });

  test('what the authoriser does not allow; a missing key is then no 404', async () => {
    await using fixture = await start({ authorise: (action) => action === 's3:GetObject' });
    expect(await outcome(fixture.client.send(new PutObjectCommand({ Bucket, Key: 'a', Body: 'x' })))).toBe(
      '403 AccessDenied',
    );
    expect(await outcome(fixture.client.send(new GetObjectCommand({ Bucket, Key: 'a' })))).toBe(
      '403 AccessDenied',
    );
  });
});
