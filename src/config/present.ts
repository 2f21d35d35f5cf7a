/** Without the keys that have no value: an absent option is absent, not undefined. */
export function present<T extends object>(value: T): Present<T> {
  // oxlint-disable-next-line no-unsafe-type-assertion -- Object.entries forgets which keys there were
  return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined)) as Present<T>;
}

type Present<T> = { [Key in keyof T as undefined extends T[Key] ? never : Key]: T[Key] } & {
  [Key in keyof T as undefined extends T[Key] ? Key : never]?: Exclude<T[Key], undefined>;
};
