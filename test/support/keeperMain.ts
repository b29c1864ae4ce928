/** The command's keeper without the command line around it, which starts sooner: `node keeperMain.ts FOLDER FILE`. */
import { readFileSync } from "node:fs";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import { runTask } from "../../src/drivers/runTask.ts";

const [folder = "", file = ""] = process.argv.slice(2);
const keeper = Effect.runFork(runTask(folder, readFileSync(file, "utf8").trim(), `test ${process.pid}`));
process.once("SIGTERM", () => {
  void Effect.runPromise(Fiber.interrupt(keeper)).then(() => process.exit(143));
});
const kept = await Effect.runPromise(Fiber.join(keeper));
console.log(JSON.stringify(kept));
process.exitCode = kept.type === "not-run" || (kept.type === "ended" && kept.end.exit === 0) ? 0 : 1;
