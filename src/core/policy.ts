// The closed lists of what people can choose. Config schema, CLI, logs and the README's tables derive from them.

/** Who wins when file and object differ. */
export const policies = ['overwrite', 'skip-existing', 'if-unchanged', 'newer-wins'] as const;
export type Policy = (typeof policies)[number];

/** How equality is judged at equal size: by checksum, by size and time, by size alone, or as `aws s3 sync` does. */
export const compares = ['content', 'size-and-time', 'size', 'aws'] as const;
export type Compare = (typeof compares)[number];

/** What happens to the object of a file that was deleted. */
export const deleteModes = ['keep', 'propagate', 'archive'] as const;
export type DeleteMode = (typeof deleteModes)[number];

export const symlinkModes = ['skip', 'follow'] as const;
export type SymlinkMode = (typeof symlinkModes)[number];

/** What `preserve` keeps of a file in metadata. The mtime always goes with the bytes; named here, also when it alone changes. */
export const preservable = ['mtime', 'mode', 'owner'] as const;
export type Preservable = (typeof preservable)[number];

/** When it is written where it changed without the content: with the next bytes, or at once, by a copy of the object onto itself. */
export const preserveChanges = ['lazy', 'eager'] as const;
export type PreserveChanges = (typeof preserveChanges)[number];
