/** One record for the eyes: its fields, its errors, its history. */
import type { DatasetFacts, FileBody, LedgerRecord } from "../protocol/records.ts";
import { standingOf, standingStyle } from "./standing.ts";
import { paint } from "./table.ts";
import { bytes, clock, date, harmless, timeOf } from "./words.ts";

export type Field = readonly [name: string, value: string];

export function fields(all: ReadonlyArray<Field>, color: boolean, indent = ""): string {
  const width = all.reduce((most, [name]) => Math.max(most, name.length), 0);
  return all
    .map(([name, value]) => `${indent}${paint(color, "dim", name.padEnd(width))}  ${harmless(value)}\n`)
    .join("");
}

const time = (iso: string): string => {
  const at = timeOf(iso);
  return at === null ? iso : `${date(at)} ${clock(at)}`;
};

const present = (all: ReadonlyArray<readonly [string, string | number | boolean | null | undefined]>) =>
  all.flatMap(([name, value]): ReadonlyArray<Field> =>
    value === null || value === undefined || value === "" ? [] : [[name, String(value)]],
  );

export function errorLines(record: LedgerRecord, color: boolean): string {
  if (record.errors.length === 0) return "";
  const lines = record.errors.map(
    (error) =>
      `  ${paint(color, "dim", time(error.at))}  ${paint(color, "red", error.reason)} (${error.class}): ${harmless(error.detail)}\n`,
  );
  return `\nerrors\n${lines.join("")}`;
}

export function historyLines(record: LedgerRecord, color: boolean): string {
  if (record.history.length === 0) return "";
  const lines = record.history.map((entry) => {
    const where = entry.node === undefined ? "" : ` on ${entry.node}`;
    const detail = entry.detail === undefined ? "" : `: ${entry.detail}`;
    return `  ${paint(color, "dim", time(entry.at))}  ${harmless(`${entry.event}${where}${detail}`)}\n`;
  });
  return `\nhistory\n${lines.join("")}`;
}

function bodyFields(body: Partial<FileBody>): ReadonlyArray<Field> {
  const identity = present(Object.entries(body.identity ?? {}));
  const metadata = present(Object.entries(body.metadata ?? {}));
  return [
    ...present([
      ["uri", body.uri],
      ["size", body.size == null ? null : bytes(body.size)],
      ["via", body.via],
      ["received", body.receivedAt === undefined || body.receivedAt === "" ? null : time(body.receivedAt)],
      ["sequence", body.sequence],
      ["raw", body.raw],
    ]),
    ...datasetFields(body.dataset),
    ...identity,
    ...metadata,
  ];
}

/** `2025-12-26T00:00:00 to 2025-12-26T12:00:00 (sidecar)`, an open side as `-`. */
function datasetFields(facts: DatasetFacts | undefined): ReadonlyArray<Field> {
  if (facts === undefined) return [];
  const { kind, dataset, range, pointing, version } = facts;
  return present([
    ["kind", kind],
    ["dataset", dataset],
    ["pointing", pointing],
    [
      "range",
      range === null ? "the pointing's" : `${range.start ?? "-"} to ${range.end ?? "-"} (${range.from})`,
    ],
    ["version", version],
  ]);
}

export function renderRecord(
  key: string,
  name: string,
  revision: number,
  record: LedgerRecord<Partial<FileBody>>,
  color: boolean,
): string {
  const standing = standingOf(record);
  const other = [
    ...(record.refused ?? []).map((content): Field => [
      "refused",
      `etag ${content.etag}, ${time(content.at)}`,
    ]),
    ...(record.superseded ?? []).map((content): Field => [
      "superseded",
      `etag ${content.etag}, ${time(content.at)}`,
    ]),
  ];
  const counted = present([
    ["attempts", record.attempts === 0 ? null : record.attempts],
    [
      "crashes",
      record.crashes === 0 ? null : `${record.crashes}, ${record.crashesAlone} of them alone in its claim`,
    ],
    ["waiting for", record.waitingFor],
    ["waiting until", record.waitUntil === undefined ? null : time(new Date(record.waitUntil).toISOString())],
  ]);
  return [
    `${paint(color, "bold", harmless(name))}  ${paint(color, standingStyle[standing], standing)}\n`,
    fields(
      [
        ["key", key],
        ["revision", String(revision)],
        ["etag", record.etag],
        ["generation", String(record.generation)],
        ...counted,
        ...other,
        ...bodyFields(record.body),
      ],
      color,
      "  ",
    ),
    errorLines(record, color),
    historyLines(record, color),
  ].join("");
}
