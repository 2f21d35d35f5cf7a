// What the main thread and the watch thread say to each other. Plain data: it crosses a structured clone.
import type { Observation, Obstacle } from '../core/observation.ts';
import type { SymlinkMode } from '../core/policy.ts';
import type { Rule } from '../core/rules.ts';
import type { Selector } from '../core/selector.ts';

/** A folder as the watch thread needs it. */
export interface WatchedFolder {
  readonly folderId: number;
  readonly name: string;
  readonly path: string;
  readonly routeIds: readonly number[];
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  readonly symlinks: SymlinkMode;
  /** Of the routes that do not take all files. */
  readonly selectors: readonly { readonly routeId: number; readonly when: Selector }[];
  /** What gives files the tags that selectors ask for. */
  readonly rules: readonly Rule[];
  readonly rescanMs: number;
}

export interface WatchThreadData {
  readonly journalFile: string;
  readonly folders: readonly WatchedFolder[];
  /** False for `once`: scan each folder once, then fall silent. */
  readonly watch: boolean;
}

/** A name that is not UTF-8 stood as an obstacle and does not exist any more: the blocked change ends. */
export interface Cleared {
  readonly directory: string;
  readonly name: Uint8Array;
}

/**
 * - `replaced`: another directory stands in the root's place, and it does not hold most of what the journal knows: a
 *   file system that was unmounted, or another one mounted over. What is there is observed and can be uploaded; no
 *   scan says that anything is absent.
 * - In every state but `ok` nothing may be deleted on account of this folder.
 */
const rootStates = ['ok', 'missing', 'not-a-directory', 'unreadable', 'replaced'] as const;
export type RootState = (typeof rootStates)[number];

export type FromWatch =
  /** Acknowledged once it is committed; until then the thread coalesces and posts no other batch of the folder. */
  | {
      readonly kind: 'observed';
      readonly batch: number;
      readonly cause: 'event' | 'scan';
      readonly folderId: number;
      readonly observations: readonly Observation[];
      readonly obstacles: readonly Obstacle[];
      readonly cleared: readonly Cleared[];
    }
  /** A scan of the whole folder begins: until it ends nobody knows all that is missing. */
  | { readonly kind: 'scanning'; readonly folderId: number }
  /** A scan of the whole folder ended: posted after its last batch was acknowledged. */
  | {
      readonly kind: 'scanned';
      readonly folderId: number;
      /** The directory that was scanned, and its file system. */
      readonly root: { readonly identity: string; readonly dev: bigint };
      /** Files that the journal knows and that are there, and those that are not. */
      readonly recognised: number;
      readonly missed: number;
      readonly files: number;
      readonly directories: number;
      readonly skippedSymlinks: number;
      readonly durationMs: number;
      /** When all of it is scanned again, from now on. Undefined where nothing is watched. */
      readonly nextInMs: number | undefined;
    }
  /** Changes made from now on are seen: by the watcher, or where that is impossible (`degraded`) by polling. */
  | { readonly kind: 'watching'; readonly folderId: number }
  /** The answer to `ask`. */
  | { readonly kind: 'alive' }
  /** Part of the folder cannot be watched: it is polled. An empty list of reasons: it is watched in full again. */
  | { readonly kind: 'degraded'; readonly folderId: number; readonly reasons: readonly string[] }
  /** The root's state changed. It is taken for ok until told otherwise; a folder whose root is not there has no `scanned`. */
  | {
      readonly kind: 'root';
      readonly folderId: number;
      readonly state: RootState;
      readonly message: string;
    };

export type Message<Kind extends FromWatch['kind']> = Extract<FromWatch, { kind: Kind }>;

export type ToWatch =
  | { readonly kind: 'acknowledged'; readonly folderId: number; readonly batch: number }
  /** Scan now: after an error, on request, when a root came back. */
  | { readonly kind: 'scan'; readonly folderId: number }
  /** Answer if you still turn. */
  | { readonly kind: 'ask' }
  | { readonly kind: 'stop' };
