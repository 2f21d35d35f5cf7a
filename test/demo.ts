// `npm start`: the local S3 server and the daemon on config/demo.yaml, to try it in a minute. Everything lives in .demo/.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { fileURLToPath } from 'node:url';

const checkout = fileURLToPath(new URL('..', import.meta.url));
const demo = `${checkout}.demo`;
const port = 9711;
const credentials = { AWS_ACCESS_KEY_ID: 'demo', AWS_SECRET_ACCESS_KEY: 'demo-secret' };
const config = 'config/demo.yaml';

fs.mkdirSync(`${demo}/inbox`, { recursive: true });
if (!fs.existsSync(`${demo}/inbox/welcome.txt`)) {
  fs.writeFileSync(`${demo}/inbox/welcome.txt`, 'This file is kept in S3. Change it, and see.\n');
}

const server = start([
  'test/s3-server/main.ts',
  ...['--port', String(port), '--data', `${demo}/s3`, '--bucket', 'demo'],
  ...['--access-key', credentials.AWS_ACCESS_KEY_ID, '--secret-key', credentials.AWS_SECRET_ACCESS_KEY],
]);
await saidListening(server);
const daemon = start(['dist/main.js', 'run', '--config', config], {
  ...credentials,
  AWS_REGION: 'us-east-1',
});

process.stdout.write(`
  s3syncd keeps   .demo/inbox
  in the bucket   demo at http://127.0.0.1:${port} (a small S3 server of ours; nothing leaves this machine)

  Try, in another terminal:
    echo hello > .demo/inbox/hello.txt
    npx s3syncd status --config ${config}
  Ctrl-C ends it.

`);

let stopping = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    stopping = true;
    daemon.kill('SIGTERM');
  });
}
const [code] = (await once(daemon, 'exit')) as [number | null];
server.kill('SIGTERM');
process.exitCode = stopping ? 0 : (code ?? 1);

/** In a process group of its own: Ctrl-C reaches this script, which stops the daemon first. */
function start(args: readonly string[], environment: NodeJS.ProcessEnv = {}) {
  return spawn(process.execPath, [...args], {
    cwd: checkout,
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
}

async function saidListening(child: ReturnType<typeof start>): Promise<void> {
  const listening = (async () => {
    for await (const text of child.stdout) if (String(text).includes('listening')) return;
    throw new Error('the S3 server did not start');
  })();
  await Promise.race([
    listening,
    once(child, 'exit').then(() => Promise.reject(new Error('the S3 server ended'))),
  ]);
  child.stdout.resume();
}
