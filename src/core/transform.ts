// Transforms: what is done to a file's content on its way into the object. It is compressed first and encrypted then:
// what is encrypted does not compress.

export const compressions = ['gzip', 'zstd'] as const;
export type Compression = (typeof compressions)[number];

export interface Transform {
  readonly compress?: Compression;
  /** To whom the content is encrypted, as age writes them: `age1…`. */
  readonly recipients?: readonly string[];
}

/** What was done, in this order: `gzip`, `age`, `zstd age`. Undefined where the object has the content itself. */
export function transformName({ compress, recipients }: Transform): string | undefined {
  return [compress, recipients && 'age'].filter((step) => step !== undefined).join(' ') || undefined;
}

/** Extensions of what is compressed already, or encrypted: another pass costs time and gains nothing. */
const compressedExtensions: ReadonlySet<string> = new Set(
  [
    'jpg jpeg png gif webp avif heic heif jxl',
    'mp3 m4a aac ogg oga opus flac wma mp4 m4v mkv mov webm avi wmv flv mpg mpeg 3gp',
    'zip gz tgz bz2 tbz2 xz txz zst tzst lz4 lzma lzo br 7z rar cab jar war apk deb rpm whl',
    'docx xlsx pptx odt ods odp epub woff woff2 age gpg',
  ].flatMap((line) => line.split(' ')),
);

/** @param extension of the file's name, without its dot */
export function isCompressed(extension: string): boolean {
  return compressedExtensions.has(extension.toLowerCase());
}
