import http from 'node:http';
import { socketAddress } from './socket.ts';

/**
 * Asks the running daemon.
 * @returns its JSON answer; undefined when no daemon listens
 * @throws Error when it answers with an error
 */
export async function askDaemon(stateDir: string, method: 'GET' | 'POST', path: string): Promise<unknown> {
  let address;
  try {
    address = socketAddress(stateDir);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  using open = address;
  try {
    const { status, body } = await request(open.path, method, path);
    const answer = JSON.parse(body) as { error?: string };
    if (status !== 200) throw new Error(`the daemon answers: ${answer.error ?? status}`);
    return answer;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ECONNREFUSED') return undefined;
    throw error;
  }
}

function request(socketPath: string, method: string, path: string) {
  return new Promise<{ status: number; body: string }>((resolve, reject) => {
    const sent = http.request({ socketPath, method, path, timeout: 10_000 }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => (body += text));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      response.on('error', reject);
    });
    sent.on('timeout', () => sent.destroy(new Error('the daemon does not answer')));
    sent.on('error', reject);
    sent.end();
  });
}
