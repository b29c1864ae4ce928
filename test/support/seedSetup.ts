/**
 * In CI the values of properties are the same in every run: a change is judged, and not the draw. Everywhere else each run draws others,
 * and a failure tells its seed.
 */
import { readFileSync } from "node:fs";
import { expect } from "vitest";

const ciSeed = 20_251_121;

const file = expect.getState().testPath;
// Where no property is tried the import would only cost time.
const draws = /fast-check|\/(?:property|nasties|jobTales|driver)\.ts"/;

if (process.env["CI"] === "true" && file !== undefined && draws.test(readFileSync(file, "utf8")))
  (await import("fast-check")).configureGlobal({ seed: ciSeed });
