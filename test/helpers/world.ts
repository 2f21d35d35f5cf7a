// A world of one key for laws: an S3 with a history, daemons that decide by the real `decide`, and others who write. Daemons
// crash where it hurts: their journal is then as it was when they claimed, S3 as they left it.
import { decide, type Facts, type Judgement } from '../../src/core/decide.ts';
import type { Action } from '../../src/core/action.ts';
import type { Baseline } from '../../src/core/baseline.ts';
import type { FileState } from '../../src/core/file.ts';
import type { ObjectState, Precondition, Remote } from '../../src/core/object.ts';
import { file, given, noonMs } from './given.ts';

/** What an object or a file holds. Some contents are of equal size, so that only reading tells them apart. */
export type Content = 0 | 1 | 2 | 3;
const sizeOf = (content: Content) => 1 + (content % 2);

interface StoredObject {
  readonly content: Content;
  readonly etag: string;
  readonly writtenAt: number;
  readonly mtimeNs?: bigint;
  readonly writeId?: string;
}

interface Write {
  readonly by: string;
  readonly kind: 'put' | 'delete';
  readonly replaced: Content | undefined;
  readonly content: Content | undefined;
}

export class World {
  object: StoredObject | undefined;
  readonly history: Write[] = [];
  requests = 0;
  /** Seconds; every step takes one, so that all times differ. */
  now = 0;
  #writeIds = 0;

  nextWriteId(): string {
    return `write ${(this.#writeIds += 1)}`;
  }

  head(): Remote {
    this.requests += 1;
    if (!this.object) return { kind: 'absent' };
    const { content, etag, writtenAt, mtimeNs, writeId } = this.object;
    const object: ObjectState = {
      size: sizeOf(content),
      etag,
      lastModifiedMs: noonMs + writtenAt * 1000,
      ...(mtimeNs !== undefined && { mtimeNs }),
      ...(writeId !== undefined && { writeId }),
      source: 'head',
    };
    return { kind: 'object', object };
  }

  /** The ETag is that of the content, as S3's MD5 is. @returns false where the precondition does not hold */
  put(by: string, content: Content, precondition: Precondition, more: Partial<StoredObject> = {}): boolean {
    this.requests += 1;
    if (!this.#holds(precondition)) return false;
    this.history.push({ by, kind: 'put', replaced: this.object?.content, content });
    this.object = { content, etag: etagOf(content), writtenAt: this.now, ...more };
    return true;
  }

  remove(by: string, precondition: Precondition): boolean {
    this.requests += 1;
    if (!this.object) return true;
    if (!this.#holds(precondition)) return false;
    this.history.push({ by, kind: 'delete', replaced: this.object.content, content: undefined });
    this.object = undefined;
    return true;
  }

  #holds(precondition: Precondition): boolean {
    switch (precondition.kind) {
      case 'none':
        return true;
      case 'absent':
        return this.object === undefined;
      case 'etag':
        return this.object?.etag === precondition.etag;
    }
  }
}

function etagOf(content: Content): string {
  return `"${content}"`;
}

interface Change {
  tried: boolean;
  readonly writeId: string;
}

/** How a run of a daemon goes wrong, and what somebody else does just before its first write. */
export interface Mishap {
  readonly crash: 'never' | 'before the write' | 'after the write';
  readonly meanwhile?: () => void;
}

export class ModelDaemon {
  readonly name: string;
  readonly #world: World;
  readonly #judgement: Judgement;
  file: { content: Content; state: FileState } | undefined;
  baseline: Baseline | undefined;
  inConflict = false;
  /** Every content that it wrote, or took over as equal: what it may replace. */
  readonly known = new Set<Content>();
  readonly deletedUntracked: Write[] = [];
  #change: Change | undefined;

  constructor(name: string, world: World, judgement: Judgement) {
    this.name = name;
    this.#world = world;
    this.#judgement = judgement;
  }

  edit(content: Content | undefined): void {
    this.#world.now += 10;
    const { now } = this.#world;
    this.file = content === undefined ? undefined : { content, state: file(sizeOf(content), { mtime: now }) };
    this.#change ??= { tried: false, writeId: this.#world.nextWriteId() };
  }

  get isIdle(): boolean {
    return this.#change === undefined;
  }

  /** Handles the change, if there is one, to its end or to a crash. */
  run({ crash, meanwhile = () => undefined }: Mishap = { crash: 'never' }): void {
    const change = this.#change;
    if (!change) return;
    this.#world.now += 10;
    let facts = this.#firstFacts(change);
    for (let round = 0; round < 12; round++) {
      const action = decide(facts, this.#judgement);
      if (action.kind === 'look') {
        facts = this.#look(facts, action.at);
        continue;
      }
      if (action.kind !== 'upload' && action.kind !== 'delete') return this.#end(action, facts);
      meanwhile();
      meanwhile = () => undefined;
      if (crash === 'before the write') return void (change.tried = true);
      const landed = this.#write(action, change);
      if (crash === 'after the write') return void (change.tried = true);
      if (landed) return this.#written(action);
      facts = { ...facts, remote: this.#world.head(), content: undefined, writeId: change.writeId };
    }
    change.tried = true;
  }

  #firstFacts({ tried, writeId }: Change): Facts {
    return given({
      local: this.file?.state ?? 'absent',
      ...(this.baseline && { baseline: this.baseline }),
      ...(tried && { writeId }),
    });
  }

  #look(facts: Facts, at: 'remote' | 'content' | 'origin'): Facts {
    if (at === 'remote') return { ...facts, remote: this.#world.head(), content: undefined };
    const other =
      facts.remote?.kind === 'object' ? facts.remote.object.etag : `"${this.baseline!.checksum!.value}"`;
    return { ...facts, content: other === etagOf(this.file!.content) ? 'same' : 'different' };
  }

  #write(action: Extract<Action, { kind: 'upload' | 'delete' }>, { writeId }: Change): boolean {
    if (action.kind === 'upload') {
      const { content, state } = this.file!;
      const landed = this.#world.put(this.name, content, action.precondition, {
        mtimeNs: state.mtimeNs,
        ...(action.precondition.kind !== 'none' && { writeId }),
      });
      if (landed) this.known.add(content);
      return landed;
    }
    const before = this.#world.history.length;
    const landed = this.#world.remove(this.name, action.precondition);
    const isTracked = this.baseline !== undefined && !this.baseline.gone && this.file === undefined;
    if (!isTracked) this.deletedUntracked.push(...this.#world.history.slice(before));
    return landed;
  }

  #written(action: Extract<Action, { kind: 'upload' | 'delete' }>): void {
    this.inConflict = false;
    this.#change = undefined;
    if (action.kind === 'delete') {
      this.baseline = undefined;
      return;
    }
    this.baseline = this.#baseline(action.outcome, true, etagOf(this.file!.content), true);
  }

  #end(action: Action, facts: Facts): void {
    this.#change = undefined;
    this.inConflict = action.kind === 'conflict';
    if (action.kind === 'forget') this.baseline = undefined;
    if (action.kind !== 'settle') return;
    const etag = facts.remote?.kind === 'object' ? facts.remote.object.etag : this.baseline?.etag;
    const agrees =
      action.outcome === 'adopted' || action.outcome === 'uploaded' || action.outcome === 'touched';
    if (agrees) this.known.add(this.file!.content);
    this.baseline = this.#baseline(action.outcome, action.owned, etag, agrees);
  }

  #baseline(
    outcome: Baseline['outcome'],
    owned: boolean,
    etag: string | undefined,
    agrees: boolean,
  ): Baseline {
    return {
      outcome,
      owned,
      gone: this.file === undefined,
      file: this.file?.state ?? this.baseline!.file,
      ...(etag !== undefined && { etag }),
      ...(agrees && { checksum: { algorithm: 'crc32', value: String(this.file!.content) } }),
    };
  }
}
