/** Versions of products: `v001.0002` (major.minor) and the older `v009`. Any of the older form sorts below any of the newer. */

export interface Version {
  /** The older form without a minor number. */
  readonly legacy: boolean;
  readonly major: number;
  /** 0 in the older form. */
  readonly minor: number;
}

/** Negative when `a` is older. Numbers are compared as numbers. */
export function compareVersions(a: Version, b: Version): number {
  if (a.legacy !== b.legacy) return a.legacy ? -1 : 1;
  return a.major - b.major || a.minor - b.minor;
}

/** Reads `v001.0002`, `v009`, `07`; null for anything else. */
export function parseVersion(text: string): Version | null {
  const found = /^v?(\d{1,9})(?:\.(\d{1,9}))?$/.exec(text);
  if (found === null) return null;
  const [, major, minor] = found;
  return { legacy: minor === undefined, major: Number(major), minor: Number(minor ?? 0) };
}

export const formatVersion = (version: Version): string => {
  const major = `v${String(version.major).padStart(3, "0")}`;
  return version.legacy ? major : `${major}.${String(version.minor).padStart(4, "0")}`;
};
