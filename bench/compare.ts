/** Rounds of a plain program and of Orrery, one after the other, with the processor time that each used for a unit of work. */
import type { CaseOptions, Result, Round } from "./result.ts";
import { median, ofRounds, percentile, round } from "./result.ts";
import type { Program } from "./stage.ts";

/** One side's share of one round. */
export interface Turn {
  /** In the result's unit: a rate, or a time. */
  readonly value: number;
  /** Units of work done, for the processor time of one. */
  readonly done: number;
  readonly latencies?: ReadonlyArray<number>;
}

export interface Side {
  readonly program: Pick<Program, "cpuMs">;
  readonly turn: () => Promise<Turn>;
}

interface Measured {
  readonly value: number;
  readonly cpuUs: number | null;
  readonly latencies: ReadonlyArray<number>;
}

async function measured({ program, turn }: Side): Promise<Measured> {
  const before = program.cpuMs();
  const { value, done, latencies = [] } = await turn();
  const after = program.cpuMs();
  return {
    value,
    latencies,
    cpuUs: before === null || after === null ? null : ((after - before) * 1_000) / done,
  };
}

type Compared = Omit<Result, "name" | "unit" | "goal" | "goal_met" | "note">;

/** @param rounds those that count; one more goes before them, in which both warm up */
export async function compare(
  name: string,
  options: CaseOptions,
  rounds: number,
  raw: Side,
  ours: Side,
): Promise<Compared> {
  const counted: Array<{ readonly raw: Measured; readonly ours: Measured }> = [];
  for (let i = 0; i <= rounds; i++) {
    const one = { raw: await measured(raw), ours: await measured(ours) };
    const said = (m: Measured): string =>
      `${round(m.value)} (${m.cpuUs === null ? "?" : round(m.cpuUs, 1)} µs of processor each)`;
    options.say(
      `  ${name} ${i === 0 ? "warm-up" : `round ${i}`}: raw ${said(one.raw)}, ours ${said(one.ours)}`,
    );
    if (i > 0) counted.push(one);
  }
  const all = (side: "raw" | "ours"): ReadonlyArray<number> => counted.flatMap((one) => one[side].latencies);
  const cpu = (side: "raw" | "ours"): number | null => {
    const known = counted.flatMap((one) => one[side].cpuUs ?? []);
    return known.length === 0 ? null : round(median(known), 1);
  };
  const values: ReadonlyArray<Round> = counted.map((one) => ({ ours: one.ours.value, raw: one.raw.value }));
  return {
    ...ofRounds(values),
    p50_ms: percentile(all("ours"), 0.5),
    p99_ms: percentile(all("ours"), 0.99),
    raw_p50_ms: percentile(all("raw"), 0.5),
    raw_p99_ms: percentile(all("raw"), 0.99),
    cpu_us: cpu("ours"),
    raw_cpu_us: cpu("raw"),
  };
}
