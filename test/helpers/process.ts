// What the kernel knows of another process: its memory, and what it has open.
import fs from 'node:fs';

export interface Memory {
  readonly nowMiB: number;
  /** The most since the start, or since `forgetPeak`. */
  readonly peakMiB: number;
}

export function memoryOf(pid: number): Memory {
  const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
  const mebibytes = (field: string) =>
    Math.round(Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) / 1024);
  return { nowMiB: mebibytes('VmRSS'), peakMiB: mebibytes('VmHWM') };
}

/** From now on `peakMiB` is the most since now. */
export function forgetPeak(pid: number): void {
  fs.writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

export interface Descriptors {
  /** Connections: as many as requests were in flight, and they are kept for the next ones. */
  readonly sockets: number;
  readonly others: number;
}

export function descriptorsOf(pid: number): Descriptors {
  const targets = fs.readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [fs.readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      return [];
    }
  });
  const sockets = targets.filter((target) => target.startsWith('socket:')).length;
  return { sockets, others: targets.length - sockets };
}

export function fileMiB(file: string): number {
  return (fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0) / 1024 ** 2;
}
