// Compressed and encrypted on the way, by the built program: how much memory that takes, and what a kill leaves behind.
import { createCipheriv, createHash } from 'node:crypto';
import fs from 'node:fs';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ReadableStream } from 'node:stream/web';
import zlib from 'node:zlib';
import { Decrypter, generateX25519Identity, identityToRecipient } from 'age-encryption';
import { describe, expect, test } from 'vitest';
import { noLocalServer, startStore, until, workspace, type Store } from './harness.ts';

const MiB = 1024 ** 2;
const identity = await generateX25519Identity();
const recipient = await identityToRecipient(identity);
const rules = [{ match: '**', compress: 'zstd', encrypt: { 'age-recipients': recipient } }];

/** Writes so many MiB, of which every eighth does not shrink. @returns their SHA-256 */
function writeFile(file: string, mebibytes: number): string {
  const noise = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16));
  const hash = createHash('sha256');
  const fd = fs.openSync(file, 'w');
  for (let index = 0; index < mebibytes; index++) {
    const bytes = index % 8 === 0 ? noise.update(Buffer.alloc(MiB)) : Buffer.alloc(MiB, `line ${index}\n`);
    hash.update(bytes);
    fs.writeSync(fd, bytes);
  }
  fs.closeSync(fd);
  return hash.digest('hex');
}

/** SHA-256 of what an object decrypts and decompresses to. */
async function restored(store: Store, key: string): Promise<string> {
  const body = store.server.store.body(store.server.store.current(store.bucket, key)!);
  const decrypter = new Decrypter();
  decrypter.addIdentity(identity);
  const pieces = Array.from({ length: Math.ceil(body.length / MiB) }, (_, index) =>
    body.subarray(index * MiB, (index + 1) * MiB),
  );
  const compressed = await decrypter.decrypt(ReadableStream.from<Uint8Array>(pieces));
  const hash = createHash('sha256');
  await pipeline(Readable.from(compressed), zlib.createZstdDecompress(), hash);
  return hash.digest('hex');
}

describe.skipIf(noLocalServer)('compressed and encrypted,', () => {
  test('1 GiB takes less than 300 MiB of memory, and is restored', { timeout: 400_000 }, async () => {
    const store = await startStore();
    const home = workspace(store, { folder: { rules } });
    const original = writeFile(home.path('big.log'), 1024);
    const startedAt = performance.now();
    const child = home.spawn(['once', '--config', home.configFile]);
    let peakMiB = 0;
    const watch = setInterval(() => (peakMiB = Math.max(peakMiB, peakOf(child.pid!))), 50);
    const [code] = (await once(child, 'exit')) as [number];
    clearInterval(watch);
    const seconds = Math.round((performance.now() - startedAt) / 1000);
    console.log(`1 GiB compressed with zstd and encrypted: ${seconds} s, at most ${peakMiB} MiB`);
    expect(code).toBe(0);
    expect(peakMiB).toBeGreaterThan(0);
    expect(peakMiB).toBeLessThan(300);
    expect(await restored(store, 'big.log')).toBe(original);
  });

  test('killed amid a stream, it leaves no upload behind, and begins anew', async () => {
    const store = await startStore();
    const home = workspace(store, { folder: { rules } });
    const original = writeFile(home.path('big.log'), 256);
    store.server.faults.add({ kind: 'stall', operation: 'UploadPart', at: 3, times: 1 });
    const child = home.spawn(['once', '--config', home.configFile]);
    await until(() => store.server.counts()['UploadPart'] === 3, 60_000);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(await store.uploads()).toHaveLength(1);

    await home.once();
    expect(await store.uploads()).toStrictEqual([]);
    expect(await restored(store, 'big.log')).toBe(original);
    store.forget();
    await home.once();
    expect(store.counts).toStrictEqual({});
  });
});

/** The most memory that a process has had so far; 0 when it has ended. */
function peakOf(pid: number): number {
  try {
    const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
    return Math.round(Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) / 1024);
  } catch {
    return 0;
  }
}
