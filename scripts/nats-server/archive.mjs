import { gunzipSync, inflateRawSync } from "node:zlib";

/** A nats-server is about 25 MB; an archive that unpacks to more than this is not one. */
const UNPACKED_BYTES_MAX = 256 * 1024 * 1024;

/**
 * The bytes of the one file called `fileName`, in whatever folder of the archive it lies.
 * Links and folders of that name are not taken. Throws an Error that says what is wrong with the archive.
 *
 * @param {Buffer} archive the whole archive
 * @param {"tar.gz" | "zip"} format
 * @param {string} fileName without folder
 * @returns {Buffer}
 */
export function fileFromArchive(archive, format, fileName) {
  const found = format === "zip" ? fileFromZip(archive, fileName) : fileFromTarGz(archive, fileName);
  if (found === undefined) throw new Error(`the archive holds no file named ${fileName}`);
  return found;
}

const TAR_BLOCK = 512;

/** @param {Buffer} archive @param {string} fileName */
function fileFromTarGz(archive, fileName) {
  const tar = gunzipSync(archive, { maxOutputLength: UNPACKED_BYTES_MAX });
  for (let at = 0; at + TAR_BLOCK <= tar.length;) {
    const name = cString(tar.subarray(at, at + 100));
    if (name === "") return undefined;
    const size = Number.parseInt(cString(tar.subarray(at + 124, at + 136)), 8);
    if (!Number.isSafeInteger(size) || size < 0) throw new Error("damaged tar: an entry without a size");
    const type = String.fromCharCode(tar[at + 156] ?? 0);
    const start = at + TAR_BLOCK;
    if ((type === "0" || type === "\0") && name.split("/").at(-1) === fileName) {
      if (start + size > tar.length) throw new Error("damaged tar: it ends inside the file");
      return tar.subarray(start, start + size);
    }
    at = start + Math.ceil(size / TAR_BLOCK) * TAR_BLOCK;
  }
  return undefined;
}

const ZIP_END = 0x06054b50;
const ZIP_END_BYTES = 22;
const ZIP_ENTRY = 0x02014b50;
const ZIP_STORED = 0;
const ZIP_DEFLATED = 8;

/**
 * Reads the central directory at the archive's end: the local headers before each file may leave the sizes open.
 *
 * @param {Buffer} archive @param {string} fileName
 */
function fileFromZip(archive, fileName) {
  let end = archive.length - ZIP_END_BYTES;
  while (end >= 0 && archive.readUInt32LE(end) !== ZIP_END) end--;
  if (end < 0) throw new Error("damaged zip: no directory at its end");
  let at = archive.readUInt32LE(end + 16);
  for (let entry = archive.readUInt16LE(end + 10); entry > 0; entry--) {
    if (archive.readUInt32LE(at) !== ZIP_ENTRY)
      throw new Error("damaged zip: its directory is not where it should be");
    const method = archive.readUInt16LE(at + 10);
    const packed = archive.readUInt32LE(at + 20);
    const nameLength = archive.readUInt16LE(at + 28);
    const name = archive.toString("utf8", at + 46, at + 46 + nameLength);
    const header = archive.readUInt32LE(at + 42);
    if (name.split("/").at(-1) === fileName) {
      const start = header + 30 + archive.readUInt16LE(header + 26) + archive.readUInt16LE(header + 28);
      const bytes = archive.subarray(start, start + packed);
      if (method === ZIP_STORED) return bytes;
      if (method === ZIP_DEFLATED) return inflateRawSync(bytes, { maxOutputLength: UNPACKED_BYTES_MAX });
      throw new Error(`the zip packs ${fileName} by method ${method}, which is not read here`);
    }
    at += 46 + nameLength + archive.readUInt16LE(at + 30) + archive.readUInt16LE(at + 32);
  }
  return undefined;
}

/** @param {Buffer} bytes */
function cString(bytes) {
  const end = bytes.indexOf(0);
  return bytes.toString("utf8", 0, end === -1 ? bytes.length : end).trim();
}
