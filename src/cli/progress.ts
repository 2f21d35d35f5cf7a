// Progress on a terminal: one line that is drawn again, gone at the end. Nothing where stderr is no terminal.
import type { Daemon } from '../daemon.ts';
import { bytesText, countText } from './text.ts';

const redrawMs = 200;

export function startProgress(daemon: Daemon): { end(): void } {
  if (!process.stderr.isTTY) return { end: () => undefined };
  const startedMs = performance.now();
  const draw = () => {
    const seconds = (performance.now() - startedMs) / 1000;
    const { handled, pending, bytes, scanning } = daemon.progress();
    const rate = seconds > 1 ? `, ${bytesText(Math.round(bytes / seconds))}/s` : '';
    const rest = `${countText(pending)}${scanning ? ' or more' : ''} to go`;
    process.stderr.write(`\r\u001b[K${countText(handled)} done, ${rest}, ${bytesText(bytes)}${rate}`);
  };
  const timer = setInterval(draw, redrawMs);
  return {
    end() {
      clearInterval(timer);
      process.stderr.write('\r\u001b[K');
    },
  };
}
