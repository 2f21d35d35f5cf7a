import http from 'node:http';
import { socketAddress } from './socket.ts';

/** A daemon that looks through a large journal answers late. */
const answerMaxMs = 300_000;

/**
 * Asks the running daemon.
 * @param body sent as JSON
 * @returns its JSON answer; undefined when no daemon listens
 * @throws Error when it answers with an error
 */
export async function askDaemon(
  stateDir: string,
  method: 'GET' | 'POST',
  path: string,
  body?: unknown,
): Promise<unknown> {
  let address;
  try {
    address = socketAddress(stateDir);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  using open = address;
  try {
    const { status, text } = await request(open.path, method, path, body);
    const answer = JSON.parse(text) as { error?: string };
    if (status !== 200) throw new Error(`the daemon answers: ${answer.error ?? status}`);
    return answer;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ECONNREFUSED') return undefined;
    throw error;
  }
}

function request(socketPath: string, method: string, path: string, body: unknown) {
  // A connection of its own: one that is kept for the next question may be closed just when that is sent.
  const options = { socketPath, method, path, timeout: answerMaxMs, agent: false };
  return new Promise<{ status: number; text: string }>((resolve, reject) => {
    const sent = http.request(options, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (piece: string) => (text += piece));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      response.on('error', reject);
    });
    sent.on('timeout', () => sent.destroy(new Error('the daemon does not answer')));
    sent.on('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
