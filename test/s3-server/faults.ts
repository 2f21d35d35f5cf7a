// Faults: what a network, a proxy or S3 itself does to a request, on demand. A fault is plain JSON, so that
// it can be set over the admin endpoint too. It says which requests it is for, which of them it hits, and
// what happens. The local server does most of them to itself; test/fault-proxy does them in front of any server.
import { isOperationName, type OperationName } from './operations.ts';

export const faultKinds = [
  'latency', // wait `ms`, then go on
  'clock', // the server's clock is `offsetSeconds` off: Date header and skew check
  'answer', // nothing is done; `status` and `code`, with `region` and `location` for redirects
  'error-document', // nothing is done; 200 with an <Error> document of `code`
  'html', // nothing is done; 200 with a web page, like a captive portal
  'empty', // nothing is done; 200 with nothing
  'stall', // nothing is done and never an answer; with `afterBytes`, reading stops there
  'reset-request', // RST after `afterBytes` of the body
  'commit-then-answer', // it is done, the answer is `status` and `code`
  'commit-then-drop', // it is done, the connection ends without an answer
  'commit-then-stall', // it is done, and never an answer
  'truncate-answer', // it is done; the connection ends after `afterBytes` of the answer's body
  'stall-answer', // it is done; the answer stops after `afterBytes` of its body, and the connection stays
  'slow-answer', // it is done; the answer comes at `bytesPerSecond`
  'duplicate', // it is done, and at once done again; the answer is the second one
] as const;
export type FaultKind = (typeof faultKinds)[number];

/** What happens between client and server, which the local server does not do to itself. */
export const wireKinds = ['stall-answer', 'slow-answer', 'duplicate'] as const satisfies FaultKind[];

export interface Fault {
  kind: FaultKind;

  operation?: OperationName;
  bucket?: string;
  /** Of the key; for a listing, of its `prefix`. */
  keyPrefix?: string;
  /** A regular expression. */
  keyPattern?: string;

  /** The k-th matching call, counted from 1, or several. */
  at?: number | number[];
  /** Every n-th matching call. */
  every?: number;
  /** 0 to 1, of a generator that starts from `seed`. */
  probability?: number;
  seed?: number;
  /** Hits at most. */
  times?: number;

  ms?: number;
  offsetSeconds?: number;
  status?: number;
  code?: string;
  message?: string;
  region?: string;
  location?: string;
  retryAfterSeconds?: number;
  afterBytes?: number;
  bytesPerSecond?: number;
}

export interface FaultHandle {
  readonly id: number;
  readonly fault: Fault;
  /** Matching calls so far. */
  readonly calls: number;
  readonly hits: number;
  clear(): void;
}

export interface Faults {
  add(fault: Fault): FaultHandle;
  list(): FaultHandle[];
  clear(id?: number): void;
  /** Those that hit this call. */
  match(operation: OperationName, bucket: string, key: string): Fault[];
}

const required: Partial<Record<FaultKind, readonly (keyof Fault)[]>> = {
  latency: ['ms'],
  clock: ['offsetSeconds'],
  answer: ['status', 'code'],
  'commit-then-answer': ['status', 'code'],
  'error-document': ['code'],
  'reset-request': ['afterBytes'],
  'truncate-answer': ['afterBytes'],
  'stall-answer': ['afterBytes'],
  'slow-answer': ['bytesPerSecond'],
};

const matchFields = 'kind operation bucket keyPrefix keyPattern at every probability seed times';
const effectFields =
  'ms offsetSeconds status code message region location retryAfterSeconds afterBytes bytesPerSecond';
const fields: readonly string[] = `${matchFields} ${effectFields}`.split(' ');

// A fault that never hits makes a test pass for the wrong reason.
function check(fault: Fault, elsewhere: readonly FaultKind[]): void {
  if (!faultKinds.includes(fault.kind))
    throw new TypeError(`unknown fault kind ${JSON.stringify(fault.kind)}`);
  if (elsewhere.includes(fault.kind)) throw new TypeError(`fault ${fault.kind} cannot be done here`);
  const unknown = Object.keys(fault).filter((name) => !fields.includes(name));
  if (unknown.length > 0) throw new TypeError(`unknown fault field ${unknown.join(', ')}`);
  const absent = (required[fault.kind] ?? []).filter((name) => fault[name] === undefined);
  if (absent.length > 0) throw new TypeError(`fault ${fault.kind} needs ${absent.join(', ')}`);
  if (fault.operation !== undefined && !isOperationName(fault.operation)) {
    throw new TypeError(`unknown operation ${String(fault.operation)}`);
  }
}

/** @param elsewhere kinds that whoever asks cannot do */
export function createFaults(elsewhere: readonly FaultKind[]): Faults {
  const active = new Map<number, ActiveFault>();
  let lastId = 0;
  return {
    add(fault) {
      check(fault, elsewhere);
      const id = ++lastId;
      const added = activate(id, fault, () => active.delete(id));
      active.set(id, added);
      return added.handle;
    },
    list: () => [...active.values()].map(({ handle }) => handle),
    clear(id) {
      if (id === undefined) active.clear();
      else active.delete(id);
    },
    match(operation, bucket, key) {
      if (active.size === 0) return [];
      return [...active.values()]
        .filter(({ strikes }) => strikes(operation, bucket, key))
        .map(({ handle }) => handle.fault);
    },
  };
}

interface ActiveFault {
  handle: FaultHandle;
  strikes: (operation: OperationName, bucket: string, key: string) => boolean;
}

function activate(id: number, fault: Fault, clear: () => void): ActiveFault {
  const handle = { id, fault, calls: 0, hits: 0, clear };
  const pattern = fault.keyPattern === undefined ? undefined : new RegExp(fault.keyPattern, 'u');
  const random = generator(fault.seed ?? 1);
  const places = fault.at === undefined ? undefined : [fault.at].flat();

  function isMeant(operation: OperationName, bucket: string, key: string): boolean {
    if (fault.operation !== undefined && fault.operation !== operation) return false;
    if (fault.bucket !== undefined && fault.bucket !== bucket) return false;
    return key.startsWith(fault.keyPrefix ?? '') && (pattern?.test(key) ?? true);
  }

  return {
    handle,
    strikes(operation, bucket, key) {
      if (!isMeant(operation, bucket, key) || handle.hits >= (fault.times ?? Infinity)) return false;
      handle.calls++;
      if (places !== undefined && !places.includes(handle.calls)) return false;
      if (fault.every !== undefined && handle.calls % fault.every !== 0) return false;
      if (fault.probability !== undefined && random() >= fault.probability) return false;
      handle.hits++;
      return true;
    },
  };
}

/** mulberry32: the same seed hits the same calls. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
