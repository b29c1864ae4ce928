/** What the view shows now, gathered from the picture, the processes and the look-ups. */
import type { Site } from "../config/Site.ts";
import type { RunningNode } from "../node.ts";
import type { DemoParts } from "./demoSite.ts";
import { secondName } from "./demoSite.ts";
import type { Night } from "./nightPlan.ts";
import type { Lookups } from "./lookups.ts";
import type { ExposureState, NightPicture } from "./picture.ts";
import type { SecondProcess } from "./secondProcess.ts";
import type { TheKill } from "./theKill.ts";
import type { Scene, SceneExposure, SceneLane, SceneNode } from "./view.ts";

export interface SceneNeeds {
  readonly stage: { readonly site: Site; readonly parts: DemoParts; readonly running: RunningNode };
  readonly night: Night;
  readonly picture: NightPicture;
  readonly second: SecondProcess;
  readonly lookups: Lookups;
  readonly kill: TheKill;
  readonly status: { readonly phase: string; readonly planned: number; readonly restarts: number };
}

const handMin = 12;

export function sceneOf(needs: SceneNeeds): Scene {
  const { stage, picture, lookups, status } = needs;
  const { running, site } = stage;
  return {
    site: site.name,
    day: needs.night.day,
    phase: status.phase,
    ms: picture.now(),
    server: running.natsUrl.replace("nats://", ""),
    durability: running.context.nats.link().connected ? running.durability : "away: waiting for it",
    lanes: lanesOf(needs),
    nodes: nodesOf(needs),
    exposures: [...picture.exposures.values()].map(exposureOf),
    exposuresPlanned: status.planned,
    runs: picture.runCounts(),
    lookups: {
      answered: lookups.answered,
      waiting: lookups.waiting,
      failed: lookups.failed,
      p50: lookups.latency(0.5),
      p99: lookups.latency(0.99),
    },
    kill: killOf(needs.kill),
    events: picture.events,
  };
}

const killOf = ({ kill }: TheKill): Scene["kill"] =>
  kill === null ? null : { ...kill, victim: secondName, items: kill.items.length };

function lanesOf({ stage, picture }: SceneNeeds): ReadonlyArray<SceneLane> {
  const totals = stage.running.context.counters.totals();
  const counts = picture.lanes();
  const none = { known: 0, failing: 0, waiting: 0, parked: 0 };
  const own = [stage.parts.lane.name, stage.parts.products.name];
  const others = [...counts.keys()].filter((name) => !own.includes(name));
  return [...own, ...others].map((name) => ({
    name,
    // What no lane takes is parked at the door and counted nowhere else.
    received: own.includes(name) ? (totals[`received.${name}`] ?? 0) : null,
    ...(counts.get(name) ?? none),
  }));
}

function nodesOf({ stage, picture, second, status }: SceneNeeds): ReadonlyArray<SceneNode> {
  const { site } = stage;
  const hand = (node: string) => {
    const inHand = picture.inHand(node);
    return { inHand, inHandMax: Math.max(handMin, inHand), settled: picture.settledBy(node) };
  };
  return [
    {
      name: site.node,
      pid: process.pid,
      state: "running",
      well: true,
      ...hand(site.node),
      restarts: status.restarts,
    },
    {
      name: secondName,
      pid: second.pid,
      state: second.state,
      well: second.state === "running" || second.state === "starting",
      ...hand(secondName),
      restarts: second.restarts,
    },
  ];
}

function exposureOf({ planned, known, lacks, run }: ExposureState): SceneExposure {
  const state =
    run === "done" ? "looked" : run === "failed" ? "failed" : lacks.size === 0 ? "complete" : "coming";
  return {
    planned,
    known: known.size,
    // All that will come has come, and it is not enough.
    state: state === "coming" && known.size >= planned ? "lacking" : state,
  };
}
