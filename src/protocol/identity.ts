/**
 * Which exposure and which part of the instrument a file is, from its header or sidecar. The rules are data, so that
 * another observatory names its own fields; {@link rubinIdentity} and {@link genericIdentity} are the presets.
 *
 * This identity is for keys, presence and statistics. Catalog records of an observatory that corrects its headers
 * (Rubin does, for thousands of exposures) are the business of its own translator.
 */
import * as Result from "effect/Result";
import * as Schema from "effect/Schema";

/** Header fields by keyword, as a FITS primary header or a sidecar gives them. */
export type HeaderFields = Readonly<Record<string, unknown>>;

export interface HeaderIdentity {
  /** Canonical name. */
  readonly instrument: string;
  /** Day of observation, `YYYYMMDD`. */
  readonly day: string | null;
  /** Number of the exposure within its day. */
  readonly seqNum: number | null;
  /** Text of the exposure's number or name, unique within the instrument. */
  readonly exposureId: string;
  /** The observatory's own name of the exposure: `MC_O_20250415_000228`. */
  readonly obsId: string | null;
  /** Who took the exposure, one letter: O for the observatory's control system, C for the camera's. */
  readonly controller: string | null;
  /** Group that the exposure belongs to; the exposure id where the header names none. */
  readonly group: string;
  /** False when {@link group} is the exposure id for want of a field. */
  readonly groupFromHeader: boolean;
  /** Place of the exposure within its group, from 0. */
  readonly snap: number;
  /** `R22_S11`; null where the header names none and the instrument has more than one. */
  readonly detector: string | null;
  readonly physicalFilter: string | null;
  /** Lower case; `science` for images of the sky. */
  readonly observationType: string | null;
  /** Lower case. */
  readonly reason: string | null;
  /** Exposure time, seconds. */
  readonly exposureSeconds: number | null;
  /** Begin and end as the header writes them (ISO 8601; the time scale is the header's, TAI at Rubin). */
  readonly begin: string | null;
  readonly end: string | null;
}

/** The header does not say which exposure this is. Nothing was stored; the file needs a corrected header or sidecar. */
export class MetadataIncomplete extends Schema.TaggedError<MetadataIncomplete>()("MetadataIncomplete", {
  /** Fields that are absent or empty. Alternatives are written `REASON|TESTTYPE`. */
  missing: Schema.Array(Schema.String),
  /** Fields with a value that cannot be used, and why. */
  invalid: Schema.Array(Schema.String),
}) {
  override get message(): string {
    const parts: Array<string> = [];
    if (this.missing.length > 0) parts.push(`missing ${this.missing.join(", ")}`);
    if (this.invalid.length > 0) parts.push(`unusable ${this.invalid.join(", ")}`);
    return `the metadata do not identify the file: ${parts.join("; ")}. Correct the sidecar or the header, then replay the file.`;
  }
}

/** Keywords to look at, in order: the first that has a value counts. */
export type Fields = ReadonlyArray<string>;

/** How one instrument's filter is named: the parts that have a value, joined. */
export interface FilterRule {
  readonly fields: Fields;
  readonly separator: string;
  /** Written for an absent part; null leaves it out. */
  readonly absent: string | null;
  /** A part that begins so (any case) is written as just this word. */
  readonly empty: string;
  /** Takes empty parts off the end of the name. */
  readonly dropEmpty: boolean;
}

export interface IdentityRules {
  readonly name: string;
  readonly instrument: Fields;
  /** Lower-case spelling to canonical name. `null` keeps any name as it is; else a name not listed is refused. */
  readonly instruments: Readonly<Record<string, string>> | null;
  readonly day: Fields;
  readonly seqNum: Fields;
  readonly obsId: Fields;
  readonly controller: Fields;
  /** `fields`: as the header writes it. `day-seq`: see {@link exposureNumber}. */
  readonly exposure: { readonly from: "day-seq" } | { readonly from: "fields"; readonly fields: Fields };
  readonly group: Fields;
  /** `first`: the number that the header gives to a group's first exposure. */
  readonly snap: {
    readonly fields: Fields;
    readonly first: number;
    /** Number of exposures in the group. */
    readonly of?: Fields;
  };
  /** Every field is needed; joined by `_`. `only` names the detector of an instrument that has just one. */
  readonly detector: { readonly fields: Fields; readonly only: Readonly<Record<string, string>> };
  /** By canonical name; "*" for all others. */
  readonly filter: Readonly<Record<string, FilterRule>>;
  readonly observationType: Fields;
  /** Lower-case spelling to name. */
  readonly observationTypes: Readonly<Record<string, string>>;
  readonly reason: Fields;
  readonly exposureSeconds: Fields;
  readonly begin: Fields;
  readonly end: Fields;
  /** What must be there besides instrument and exposure. */
  readonly required: ReadonlyArray<"day" | "seqNum" | "obsId" | "detector">;
}

/**
 * Rubin Observatory. The detector of LATISS is R00_S00 also where the header does not say so (before 2021): it has
 * just that one. TESTTYPE stands in for REASON, as in the observatory's own translation.
 */
export const rubinIdentity: IdentityRules = {
  name: "rubin",
  instrument: ["INSTRUME"],
  instruments: {
    lsstcam: "LSSTCam",
    latiss: "LATISS",
    lsst_atiss: "LATISS",
    lsstcomcam: "LSSTComCam",
    comcam: "LSSTComCam",
    lsstcomcamsim: "LSSTComCamSim",
    comcamsim: "LSSTComCamSim",
    "lsst-ts8": "LSST-TS8",
  },
  day: ["DAYOBS"],
  seqNum: ["SEQNUM"],
  obsId: ["OBSID"],
  controller: ["CONTRLLR"],
  exposure: { from: "day-seq" },
  group: ["GROUPID"],
  snap: { fields: ["CURINDEX"], first: 1, of: ["MAXINDEX"] },
  detector: { fields: ["RAFTBAY", "CCDSLOT"], only: { LATISS: "R00_S00" } },
  filter: {
    LATISS: {
      fields: ["FILTER", "GRATING"],
      separator: "~",
      absent: "unknown",
      empty: "empty",
      dropEmpty: false,
    },
    "*": {
      fields: ["FILTER", "FILTER1", "FILTER2"],
      separator: "~",
      absent: null,
      empty: "empty",
      dropEmpty: true,
    },
  },
  observationType: ["IMGTYPE"],
  observationTypes: { skyexp: "science", object: "science" },
  reason: ["REASON", "TESTTYPE"],
  exposureSeconds: ["EXPTIME"],
  begin: ["DATE-BEG", "DATE-OBS"],
  end: ["DATE-END"],
  required: ["day", "seqNum", "obsId", "detector"],
};

/** Fields that many observatories share; a place to start from. */
export const genericIdentity: IdentityRules = {
  name: "generic",
  instrument: ["INSTRUME"],
  instruments: null,
  day: ["DAYOBS", "DATE-OBS", "DATE-BEG"],
  seqNum: ["SEQNUM", "EXPNUM", "FRAMENO"],
  obsId: ["OBSID", "OBS_ID"],
  controller: [],
  exposure: { from: "fields", fields: ["EXPID", "EXPNUM", "OBSID", "OBS_ID"] },
  group: ["GROUPID", "GROUP_ID"],
  snap: { fields: [], first: 0 },
  detector: { fields: ["DETECTOR"], only: {} },
  filter: {
    "*": { fields: ["FILTER"], separator: "~", absent: null, empty: "empty", dropEmpty: true },
  },
  observationType: ["OBSTYPE", "IMGTYPE", "IMAGETYP"],
  observationTypes: { object: "science", light: "science" },
  reason: ["REASON"],
  exposureSeconds: ["EXPTIME", "EXPOSURE"],
  begin: ["DATE-BEG", "DATE-OBS"],
  end: ["DATE-END"],
  required: [],
};

/** How many exposures the header says that its group has; null where it does not say. */
export function groupSize(header: HeaderFields, rules: IdentityRules): number | null {
  return readWhole(header, rules.snap.of ?? [], 1, { missing: [], invalid: [] });
}

/** Reads the identity by the rules, or names every field that is missing or unusable. Never throws. */
export function identityFromHeader(
  header: HeaderFields,
  rules: IdentityRules = rubinIdentity,
): Result.Result<HeaderIdentity, MetadataIncomplete> {
  const faults: Faults = { missing: [], invalid: [] };
  const instrument = readInstrument(header, rules, faults);
  const day = readDay(header, rules.day, faults);
  const seqNum = readWhole(header, rules.seqNum, 0, faults);
  const controller = textOf(header, rules.controller);
  const obsId = textOf(header, rules.obsId);
  const detector = readDetector(header, rules, instrument);
  const values = { day, seqNum, obsId, detector };
  for (const need of rules.required) {
    const fields = need === "detector" ? rules.detector.fields.join("_") : rules[need].join("|");
    if (values[need] === null && !faults.invalid.some((fault) => fault.startsWith(`${fields} `))) {
      faults.missing.push(fields);
    }
  }
  const exposureId = readExposure(header, rules, day, seqNum, controller, faults);
  const counted = readWhole(header, rules.snap.fields, rules.snap.first, faults);
  if (instrument === null || exposureId === null || faults.missing.length > 0 || faults.invalid.length > 0) {
    return Result.fail(new MetadataIncomplete(faults));
  }
  const group = textOf(header, rules.group);
  const type = textOf(header, rules.observationType)?.toLowerCase() ?? null;
  return Result.succeed({
    instrument,
    day,
    seqNum,
    exposureId,
    obsId,
    controller,
    group: group ?? exposureId,
    groupFromHeader: group !== null,
    snap: counted === null ? 0 : counted - rules.snap.first,
    detector,
    physicalFilter: readFilter(header, rules.filter[instrument] ?? rules.filter["*"]),
    observationType: type === null ? null : (rules.observationTypes[type] ?? type),
    reason: textOf(header, rules.reason)?.toLowerCase() ?? null,
    exposureSeconds: numberOf(header, rules.exposureSeconds),
    begin: textOf(header, rules.begin),
    end: textOf(header, rules.end),
  });
}

/** Order gives the number by which a controller's days are shifted, in thousands of years. */
const controllers = "OCHPQS";
/** From the day after, the controller counts together with O and its days are no longer shifted. */
const lastShiftedDay: Readonly<Record<string, number>> = {
  C: 2023_10_04,
  P: 2025_04_17,
  Q: 2025_04_17,
  S: 2025_04_17,
};

/**
 * Rubin's exposure number: the day, shifted by 1000 years for each place of the controller in "OCHPQS", and five digits
 * of the sequence number. Null for a controller that is none of these or a sequence number of more than five digits.
 */
export function exposureNumber(day: string, seqNum: number, controller: string | null): string | null {
  if (seqNum > 99_999) return null;
  let shifted = Number(day);
  if (controller !== null && shifted <= (lastShiftedDay[controller] ?? Number.POSITIVE_INFINITY)) {
    const place = controller.length === 1 ? controllers.indexOf(controller) : -1;
    if (place < 0) return null;
    shifted += place * 1000_00_00;
  }
  return `${shifted}${String(seqNum).padStart(5, "0")}`;
}

interface Faults {
  readonly missing: Array<string>;
  readonly invalid: Array<string>;
}

/** The first value that says something: null, blank text and records (FITS complex) say nothing. */
function valueOf(header: HeaderFields, fields: Fields): string | number | boolean | null {
  for (const field of fields) {
    const value = Object.hasOwn(header, field) ? header[field] : null;
    if (
      typeof value === "string"
        ? value.trim() !== ""
        : typeof value === "number" || typeof value === "boolean"
    ) {
      return value as string | number | boolean;
    }
  }
  return null;
}

function textOf(header: HeaderFields, fields: Fields): string | null {
  const value = valueOf(header, fields);
  return value === null ? null : String(value).trim();
}

function numberOf(header: HeaderFields, fields: Fields): number | null {
  const value = valueOf(header, fields);
  if (value === null || typeof value === "boolean") return null;
  const number = Number(value);
  return Number.isFinite(number) ? number : null;
}

/** A whole number not below `least`; null when absent. Digits in quotes count as a number. */
function readWhole(header: HeaderFields, fields: Fields, least: number, faults: Faults): number | null {
  const value = valueOf(header, fields);
  if (value === null) return null;
  const number = typeof value === "boolean" ? Number.NaN : Number(value);
  if (Number.isSafeInteger(number) && number >= least) return number;
  faults.invalid.push(`${fields.join("|")} ${JSON.stringify(value)} (a whole number from ${least})`);
  return null;
}

function readInstrument(header: HeaderFields, rules: IdentityRules, faults: Faults): string | null {
  const given = textOf(header, rules.instrument);
  if (given === null) {
    faults.missing.push(rules.instrument.join("|"));
    return null;
  }
  if (rules.instruments === null) return given;
  const lower = given.toLowerCase();
  const known = Object.hasOwn(rules.instruments, lower) ? rules.instruments[lower] : undefined;
  if (known !== undefined) return known;
  const names = [...new Set(Object.values(rules.instruments))].join(", ");
  faults.invalid.push(`${rules.instrument.join("|")} ${JSON.stringify(given)} (one of ${names})`);
  return null;
}

const dayText = /^(\d{4})-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])(?:T.*)?$/;

function readDay(header: HeaderFields, fields: Fields, faults: Faults): string | null {
  const given = textOf(header, fields);
  if (given === null) return null;
  const match = dayText.exec(given);
  if (match !== null) return `${match[1]}${match[2]}${match[3]}`;
  faults.invalid.push(`${fields.join("|")} ${JSON.stringify(given)} (YYYYMMDD)`);
  return null;
}

function readDetector(header: HeaderFields, rules: IdentityRules, instrument: string | null): string | null {
  const parts = rules.detector.fields.map((field) => textOf(header, [field]));
  if (parts.length > 0 && parts.every((part) => part !== null)) return parts.join("_");
  return instrument === null ? null : (rules.detector.only[instrument] ?? null);
}

function readExposure(
  header: HeaderFields,
  rules: IdentityRules,
  day: string | null,
  seqNum: number | null,
  controller: string | null,
  faults: Faults,
): string | null {
  if (rules.exposure.from === "fields") {
    const id = textOf(header, rules.exposure.fields);
    if (id === null) faults.missing.push(rules.exposure.fields.join("|"));
    return id;
  }
  if (day === null || seqNum === null) return null;
  const id = exposureNumber(day, seqNum, controller);
  if (id === null) {
    faults.invalid.push(
      `${rules.controller.join("|")} ${JSON.stringify(controller)} (one of ${controllers.split("").join(", ")}) or ` +
        `${rules.seqNum.join("|")} ${seqNum} (at most 99999)`,
    );
  }
  return id;
}

function readFilter(header: HeaderFields, rule: FilterRule | undefined): string | null {
  if (rule === undefined) return null;
  const parts: Array<string> = [];
  for (const field of rule.fields) {
    const part = textOf(header, [field]) ?? rule.absent;
    if (part !== null) parts.push(part.toLowerCase().startsWith(rule.empty) ? rule.empty : part);
  }
  while (rule.dropEmpty && parts.length > 1 && parts.at(-1) === rule.empty) parts.pop();
  return parts.length === 0 ? "unknown" : parts.join(rule.separator);
}
