/** Plays the night: exposure after exposure, and in between several at once, in the middle of which the second node is killed. */
import { isTerminal } from "../protocol/records.ts";
import type { Night } from "./nightPlan.ts";
import { planExposure, planStrays } from "./nightPlan.ts";
import type { NightPicture } from "./picture.ts";
import type { Sender } from "./sender.ts";
import type { TheKill } from "./theKill.ts";

export interface NightScript {
  /** Exposures; a few more are taken where the second node was not caught by then. */
  readonly exposures: number;
  /** Milliseconds from one to the next. */
  readonly everyMs: number;
  /** Exposure from which on several come at once, until the second node was killed. */
  readonly burstsFrom: number;
  readonly burst: number;
}

/** `exposures` of them, the kill after a third. */
export const scriptOf = (exposures: number, everyMs: number): NightScript => ({
  exposures,
  everyMs,
  burstsFrom: Math.max(2, Math.ceil(exposures / 3)),
  burst: 5,
});

const extraMax = 30;
const overMsMax = 180_000;

export interface NightNeeds {
  readonly night: Night;
  readonly script: NightScript;
  readonly sender: Sender;
  readonly kill: TheKill;
  readonly picture: NightPicture;
  readonly signal: AbortSignal;
  /** Told how many exposures there will be. */
  readonly planned: (exposures: number) => void;
}

/** Text that only this night's nameless record holds. */
export const markOf = (night: Night): string => `orrery-night-${night.day}`;

export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted || ms <= 0) {
      resolve();
      return;
    }
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}

/** Sends everything. Returns early when the signal aborts. */
export async function playNight(needs: NightNeeds): Promise<void> {
  const { night, script, sender, kill, picture, signal } = needs;
  let last = script.exposures;
  needs.planned(last);
  await sender.strays(planStrays(night));
  for (let seq = 1; seq <= last && !signal.aborted;) {
    const began = performance.now();
    if (kill.kill === null && seq >= script.burstsFrom) {
      const exposures = Array.from({ length: script.burst }, (_, i) => planExposure(night, seq + i));
      picture.say("note", `${exposures.length} exposures come at once: the link to the camera was away`);
      await kill.attempt(() => sender.burst(exposures));
      seq += exposures.length;
      if (kill.kill === null && last < seq && last < script.exposures + extraMax)
        last = seq + script.burst - 1;
      last = Math.max(last, seq - 1);
      needs.planned(last);
    } else {
      await sender.exposure(planExposure(night, seq));
      seq++;
    }
    await pause(script.everyMs - (performance.now() - began), signal);
  }
  if (signal.aborted) return;
  const [first] = sender.exposures;
  const object = first?.objects.find(({ expected }) => expected.state === "known");
  if (object !== undefined) await sender.namelessBeside(object, markOf(night));
  for (const changed of sender.exposures.flatMap(({ objects }) => objects)) {
    if (changed.expected.state === "known" && changed.expected.refused === true)
      await sender.changed(changed);
  }
}

/** Waits until everything that was sent has come to its end. False when it did not in time. */
export async function nightIsOver(needs: NightNeeds): Promise<boolean> {
  const { picture, sender, kill, signal } = needs;
  const until = performance.now() + overMsMax;
  while (!signal.aborted) {
    if (kill.over && isOver(picture, sender)) return true;
    if (performance.now() > until) return false;
    await pause(50, signal);
  }
  return false;
}

function isOver(picture: NightPicture, sender: Sender): boolean {
  for (const { record, etags } of sender.sent.values()) {
    const seen = picture.files.get(record);
    if (seen === undefined || !isTerminal(seen.state) || seen.refused < etags.length - 1) return false;
  }
  for (const { name, complete } of sender.exposures) {
    const run = picture.exposures.get(name)?.run;
    if (complete && run !== "done" && run !== "failed") return false;
  }
  for (const { state } of picture.files.values()) if (!isTerminal(state)) return false;
  for (const { slot } of picture.hands.values()) if (slot.state === "claimed") return false;
  return picture.productsWanted() <= picture.productsKnown();
}
