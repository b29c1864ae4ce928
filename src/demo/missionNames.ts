/** How a mission's files are named that no job makes: kernels, tables, calibrations. What jobs make, the names file itself can name. */
import type { Instant, Range } from "../jobs/instant.ts";
import { dayOf, dayUs, startOfYearDay } from "../jobs/instant.ts";
import type { Recognised, Recogniser } from "../jobs/names.ts";
import { compileTemplate, fill } from "../jobs/nameTemplate.ts";

interface Form {
  /** `{start}` and `{end}` are days as 20260310, `{from}` and `{to}` as 2026_069, the last day inclusive. */
  readonly name: string;
  /** Of the first version: as the mission's own stand. */
  readonly first: number;
}

const forms: Readonly<Record<string, Form>> = {
  ancillary: { name: "imap_{source}_{descriptor}_{start}[_{end}]_v{number:3}.csv", first: 1 },
  leapseconds: { name: "naif{number:4}.tls", first: 12 },
  spacecraft_clock: { name: "imap_sclk_{number:4}.tsc", first: 183 },
  planetary_ephemeris: { name: "de{number:3}.bsp", first: 440 },
  planetary_constants: { name: "pck{number:5}.tpc", first: 11 },
  imap_frames: { name: "imap_{number:3}.tf", first: 130 },
  science_frames: { name: "imap_science_{number:4}.tf", first: 1 },
  attitude_history: { name: "imap_{from}_{to}_{number:3}.ah.bc", first: 1 },
  attitude_predicted: { name: "imap_{from}_{to}_{number:3}.ap.bc", first: 1 },
  ephemeris_reconstructed: { name: "imap_recon_{start}_{end}_v{number:2}.bsp", first: 1 },
  ephemeris_predicted: { name: "imap_pred_{start}_{end}_v{number:2}.bsp", first: 1 },
  ephemeris_90days: { name: "imap_90days_{start}_{end}_v{number:2}.bsp", first: 1 },
  ephemeris_nominal: { name: "imap_nom_{start}_{end}_v{number:2}.bsp", first: 1 },
  spin: { name: "imap_{from}_{to}_{number:2}.spin.csv", first: 1 },
  repoint: { name: "imap_{from}_{number:2}.repoint.csv", first: 1 },
};

export interface SampleOf {
  readonly kind: string;
  readonly dataset: string;
  /** Of whole days; without end where it is open. */
  readonly range: Range;
  readonly pointing: number | null;
  /** From 1. */
  readonly version: number;
}

function yearDay(at: Instant): string {
  const year = Number(dayOf(at).slice(0, 4));
  const first = startOfYearDay(year, 1) ?? 0;
  return `${year}_${String(Math.floor((at - first) / dayUs) + 1).padStart(3, "0")}`;
}

/**
 * A name that the mission's own recogniser reads as what it is to be. Throws where there is none: the sample has to learn of a new kind.
 */
export function sampleName(recogniser: Recogniser, of: SampleOf): Recognised {
  const { kind, dataset, range, pointing, version } = of;
  const form = forms[kind];
  const found =
    form === undefined
      ? recogniser.nameOf({
          kind,
          dataset,
          range,
          pointing,
          version: { legacy: true, major: version, minor: 0 },
        })
      : recogniser.recognise(nameBy(form, of));
  if (!found.ok) throw new Error(`no name for a sample of ${dataset} (${kind}): ${found.reason}`);
  if (found.file.dataset !== dataset || found.file.kind !== kind) {
    throw new Error(`${found.file.name} is of ${found.file.dataset}, and should be of ${dataset}`);
  }
  return found.file;
}

function nameBy({ name, first }: Form, { dataset, range, version }: SampleOf): string {
  const [source = "", , descriptor = ""] = dataset.split("/");
  const last = range.end - 1;
  const words: Readonly<Record<string, () => string | null>> = {
    source: () => source,
    descriptor: () => descriptor,
    start: () => dayOf(range.start),
    end: () => (Number.isFinite(range.end) ? dayOf(last) : null),
    from: () => yearDay(range.start),
    to: () => yearDay(last),
    number: () => String(first + version - 1),
  };
  return fill(compileTemplate(name), (word) => words[word]?.() ?? null);
}
