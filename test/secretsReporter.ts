import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { UserConsoleLog } from "vitest";
import type { Reporter, TestModule, Vitest } from "vitest/node";
import { leaksIn } from "./support/canaries.ts";
import type { SaidNote } from "./support/said.ts";
import { saidFolder } from "./support/said.ts";

const toldMax = 50;

/**
 * Fails the run when a secret was said anywhere in it: in the log of a node, on the output of a process, by a test, in an error. It says
 * where, and not what. Stands before the reporter of the last line, which counts it.
 */
export default class SecretsReporter implements Reporter {
  readonly #folder = mkdtempSync(join(tmpdir(), "orrery-said-"));
  readonly #leaks: Array<SaidNote> = [];
  #characters = 0;

  constructor() {
    // Before any worker is started: they and their children have it from here.
    process.env[saidFolder] = this.#folder;
    process.on("exit", () => rmSync(this.#folder, { recursive: true, force: true }));
  }

  #root = process.cwd();

  onInit(vitest: Vitest): void {
    this.#root = vitest.config.root;
  }

  #look(test: string, source: string, text: string): void {
    this.#characters += text.length;
    for (const { line, what } of leaksIn(text)) this.#leaks.push({ test, source, line, what });
  }

  onUserConsoleLog({ content, taskId = "no test", type }: UserConsoleLog): void {
    this.#look(taskId, `console (${type})`, content);
  }

  onTestRunEnd(modules: ReadonlyArray<TestModule>, unhandled: ReadonlyArray<unknown>): void {
    for (const module of modules) {
      const test = module.moduleId.replace(`${this.#root}/`, "");
      for (const { fullName, result } of [...module.children.allTests()].map((one) => ({
        fullName: one.fullName,
        result: one.result(),
      }))) {
        for (const error of result.errors ?? [])
          this.#look(test, `error of "${fullName}"`, JSON.stringify(error));
      }
      for (const error of module.errors()) this.#look(test, "error of the file", JSON.stringify(error));
    }
    this.#look("the run", "unhandled errors", JSON.stringify(unhandled));
    this.#read();
    this.#tell();
  }

  #read(): void {
    for (const name of readdirSync(this.#folder)) {
      for (const line of readFileSync(join(this.#folder, name), "utf8").split("\n").filter(Boolean)) {
        const note = JSON.parse(line) as SaidNote | { readonly characters: number };
        if ("characters" in note) this.#characters += note.characters;
        else this.#leaks.push(note);
      }
    }
  }

  #tell(): void {
    if (this.#leaks.length === 0) {
      console.log(
        `No secret in ${this.#characters.toLocaleString("en-US")} characters of logs, outputs and errors.`,
      );
      return;
    }
    for (const { test, source, line, what } of this.#leaks.slice(0, toldMax)) {
      console.error(`SECRET SAID  ${test}: ${source}, line ${line}: ${what}`);
    }
    const more = this.#leaks.length - toldMax;
    if (more > 0) console.error(`SECRET SAID  and ${more} more`);
    const failed = Number(process.env["ORRERY_CHECKS_FAILED"] ?? 0);
    process.env["ORRERY_CHECKS_FAILED"] = String(failed + 1);
    process.exitCode = 1;
  }
}
