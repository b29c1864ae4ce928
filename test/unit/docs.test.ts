/** What can be checked of the documents: what they name is there, what is there they name, and their numbers are those of the code. */
import * as Effect from "effect/Effect";
import { describe, expect, it } from "vitest";
import { orrery } from "../../src/cli/commands.ts";
import { parseSite } from "../../src/config/loadSite.ts";
import * as limits from "../../src/limits.ts";
import { runCli } from "../support/cli.ts";
import {
  anchorsOf,
  commandsIn,
  deadLinks,
  documents,
  flagsIn,
  isThere,
  linksIn,
  leavesOf,
  pathsIn,
  textOf,
  textsOf,
  wrongIn,
} from "./documents.ts";
import type { CommandTree } from "./documents.ts";

const { scripts } = JSON.parse(textOf("package.json")) as {
  readonly scripts: Readonly<Record<string, string>>;
};
const leaves = leavesOf(orrery);
const tree: CommandTree = new Map(
  await Promise.all(
    leaves.map(async (path) => {
      const { stdout } = await runCli([...path.split(" "), "--help"]);
      return [path, flagsIn(stdout)] as const;
    }),
  ),
);

describe("the documents", () => {
  it("are read, and so are the commands", () => {
    expect(documents.length).toBeGreaterThan(20);
    expect(documents.flatMap((file) => linksIn(textOf(file))).length).toBeGreaterThan(50);
    expect(tree.get("file ls")).toEqual(["--lane", "--day", "--state", "--limit", "--json"]);
  });

  it("link to what is there", () => {
    expect(documents.flatMap((file) => deadLinks(file, textOf(file)))).toEqual([]);
  });

  it("name files and folders that are there", () => {
    const files = [...documents, ...textsOf("{config,deploy,nats}/**/*.{yaml,hcl,conf}")];
    const gone = files.flatMap((file) =>
      pathsIn(textOf(file))
        .filter((path) => !isThere(file, path))
        .map((path) => `${file} names ${path}`),
    );
    expect(gone).toEqual([]);
  });

  it("show commands, with flags, that the command line has", () => {
    const files = [
      ...documents,
      ...textsOf("{config,deploy,nats,examples}/**/*.{yaml,hcl,conf,mjs,js}"),
      ...textsOf("src/**/*.ts"),
    ];
    const shown = files.flatMap((file) =>
      commandsIn(file, textOf(file)).map((command) => ({ file, command })),
    );
    expect(shown.length).toBeGreaterThan(200);
    const wrong = shown.flatMap(({ file, command }) =>
      wrongIn(command, tree).map((why) => `${file}: orrery ${command}: ${why}`),
    );
    expect(wrong).toEqual([]);
  });

  it("say of each folder what is in it", () => {
    const told = textOf("CONTRIBUTING.md");
    const folders = new Set(textsOf("{src,test}/*/**/*.ts").map((file) => file.split("/", 2).join("/")));
    expect(folders.size).toBeGreaterThan(15);
    expect([...folders].filter((folder) => !told.includes(`${folder}/`))).toEqual([]);
  });

  it("run scripts that package.json has", () => {
    const gone = documents.flatMap((file) =>
      [...textOf(file).matchAll(/npm run (?:--silent )?([a-z:]+)/g)]
        .map(([, script = ""]) => script)
        .filter((script) => !(script in scripts))
        .map((script) => `${file}: npm run ${script}`),
    );
    expect(gone).toEqual([]);
  });

  it("name the variables that the programs read, and all of them", () => {
    const variables = (files: ReadonlyArray<string>): ReadonlySet<string> =>
      new Set(
        files.flatMap((file) => [...textOf(file).matchAll(/\bORRERY_[A-Z_]+[A-Z]/g)].map(([name]) => name)),
      );
    const named = variables(documents);
    const read = variables(textsOf("{src,scripts}/**/*.{ts,mjs}"));
    const tests = variables(textsOf("{test,bench}/**/*.ts"));
    expect([...read].filter((name) => !named.has(name))).toEqual([]);
    expect([...named].filter((name) => !read.has(name) && !tests.has(name))).toEqual([]);
  });

  it("show site files that are in order", () => {
    const shown = documents.flatMap((file) =>
      [...textOf(file).matchAll(/^```yaml\n(.*?)^```/gms)]
        .map(([, text = ""]) => ({ file, text }))
        .filter(({ text }) => /^name: /m.test(text) && /^lanes:/m.test(text)),
    );
    expect(shown.map(({ file }) => file)).toEqual(["README.md", "README.md", "docs/site-file.md"]);
    for (const { file, text } of shown) {
      const read = parseSite(text, file, { env: { S3_KEY: "key", S3_SECRET: "secret" } });
      expect(Effect.runSync(read).site.name, file).not.toBe("");
    }
  });

  it("tell every option of the bridge", () => {
    const options = textOf("bridges/butler/src/orrery_butler/__main__.py").match(/"--[a-z-]+"/g) ?? [];
    expect(options.length).toBeGreaterThan(8);
    const told = textOf("bridges/butler/README.md");
    expect(options.filter((option) => !told.includes(`\`${option.slice(1, -1)}`))).toEqual([]);
  });

  it("tell every metric, and none that is not", () => {
    const metrics = (text: string) => new Set(text.match(/\borrery_[a-z]+(?:_[a-z]+)*/g));
    const kept = metrics(textOf("src/actors/counters.ts"));
    expect(kept.size).toBeGreaterThan(20);
    expect([...kept].filter((name) => !metrics(textOf("docs/http.md")).has(name))).toEqual([]);
    const told = documents.flatMap((file) => [...metrics(textOf(file))].map((name) => ({ file, name })));
    expect(told.filter(({ name }) => !kept.has(name))).toEqual([]);
  });
});

describe("docs/cli.md", () => {
  const text = textOf("docs/cli.md");
  const [table = "", ...sections] = text.split(/^## /m);
  /** Commands of a mission's operator share sections. */
  const sharing: Readonly<Record<string, string>> = {
    reprocessing: "reprocess",
    hold: "orders",
    release: "orders",
    force: "orders",
    retry: "orders",
  };
  const told = (command: string): string => {
    const top = command.split(" ")[0] ?? "";
    const rows = table.split("\n").filter((row) => new RegExp(`^\\|.*\\b${top}\\b`).test(row));
    const section = sections.find((one) => one.split("\n")[0] === (sharing[top] ?? top)) ?? "";
    return `${rows.join("\n")}\n${section}`;
  };

  it.each(leaves)("tells %s, and each of its flags", (command) => {
    const words = told(command);
    expect(words).toMatch(new RegExp(`\\b${command.split(" ").at(-1)}\\b`));
    // `--json` and `--site` are the same everywhere, and told once.
    const own = (tree.get(command) ?? []).filter((flag) => flag !== "--json");
    expect(own.filter((flag) => !words.includes(flag))).toEqual([]);
  });
});

describe("numbers", () => {
  const s = (ms: number): string => `${ms / 1_000} s`;
  const minutes = (ms: number): string => `${ms / 60_000} minutes`;
  const mib = (bytes: number): string => `${bytes / 1_048_576} MiB`;
  const thousands = (number: number): string => number.toLocaleString("en");
  it.each([
    ["docs/catalogue.md", `${s(limits.siteSettledMs)} after the last word`],
    ["docs/catalogue.md", `tried again every ${s(limits.otherSiteAgainMs)}`],
    ["docs/chaos.md", `(${s(limits.ackWaitMs)}) and is dropped`],
    ["docs/cli.md", `(at most ${limits.presenceWaitSecondsMax})`],
    ["docs/cli.md", `still holds (${limits.mailKeptMs / 86_400_000} days)`],
    ["docs/cli.md", `(${limits.laterItemsMax} files at most)`],
    ["docs/cli.md", `at most ${limits.expectedGroupsMax} are told`],
    ["docs/cli.md", `at most ${limits.lineageRunsMax}, what is nearest`],
    ["docs/cli.md", `\`--limit N\`, ${limits.ledgerDifferencesMax})`],
    ["docs/cli.md", `nothing was heard for ${s(limits.sourceSilentMsMax)}`],
    ["docs/cli.md", `within ${s(limits.madeAnewEveryMs)}`],
    ["docs/cli.md", `at most ${thousands(limits.partitionsToldMax)})`],
    ["docs/driver-protocol.md", `at its end, at most ${mib(limits.subprocessLineBytesMax)}`],
    ["docs/driver-protocol.md", `the last ${limits.subprocessErrorBytesMax / 1_024} KiB`],
    [
      "docs/driver-protocol.md",
      `after ${s(limits.subprocessRestartFirstMs)}, doubling to ${s(limits.subprocessRestartMostMs)}`,
    ],
    ["docs/http.md", `so many seconds at most (${limits.presenceWaitSecondsMax})`],
    ["docs/http.md", `headers of more than ${limits.httpHeaderBytesMax / 1_024} KiB`],
    ["docs/jobs.md", `at most ${mib(limits.jobLogBytesMax)}`],
    ["docs/jobs.md", `killed ${s(limits.runTermGraceMs)} later`],
    ["docs/jobs.md", `for ${minutes(limits.jobUnknownMs)} from its first try`],
    ["docs/jobs.md", `${s(limits.keeperLostMs)} after nothing was heard of its node`],
    ["docs/site-file.md", `about ${s(limits.notifierTurnMs)} later`],
    [
      "docs/site-file.md",
      `${s(limits.httpHeadersMs)} for its headers and ${s(limits.httpRequestMs)} for all of it`,
    ],
    ["docs/site-file.md", `for ${limits.seenKeptMs / 86_400_000} days`],
    ["docs/site-file.md", `at most every ${s(limits.limitedToldEveryMs)}`],
    ["docs/sites.md", `more than ${s(limits.sourceSilentMsMax)} old`],
    [
      "docs/sites.md",
      `silent for ${s(limits.sourceLostMs)} the keeper asks its site every ${s(limits.sourceLookEveryMs)}`,
    ],
    ["docs/sites.md", `done again after ${s(limits.sourceWakeEveryMs)}`],
    ["docs/sites.md", `heard of for ${s(limits.siteSettledMs)} without break`],
    ["docs/sites.md", `no key came for ${s(limits.siteListingSilentMsMax)}`],
    ["docs/sites.md", `after ${minutes(limits.siteComparedMsMax)}`],
    ["docs/sites.md", `a site ${limits.purgedKeysMax} such records`],
    ["docs/sites.md", `and ${limits.purgedDaysMax} days`],
    ["docs/decisions/duplicates-after-a-purge.md", `(${limits.seenDaysCachedMax} at most)`],
    ["docs/decisions/http-listener.md", `every ${limits.countersFlushMs} ms`],
    ["docs/decisions/limits-per-address.md", `accepts ${thousands(limits.httpConnectionsMax)} in all`],
    ["docs/decisions/limits-per-address.md", `${thousands(limits.limitedAddressesMax)} addresses`],
    ["docs/decisions/telling-receivers.md", `A turn (${s(limits.notifierTurnMs)})`],
    ["docs/decisions/telling-receivers.md", `\`ack_wait\` (${s(limits.notifierAckWaitMs)})`],
    ["docs/decisions/telling-receivers.md", `its next take (${s(limits.notifierTakeMs)})`],
    ["docs/decisions/tonight-before-replays.md", `\`laterItemsMax\` (${limits.laterItemsMax})`],
    ["docs/decisions/versions-together.md", `up to ${thousands(limits.beyondCharsMax)} characters`],
    ["docs/decisions/versions-together.md", `takes ${s(limits.drainMs)} at most`],
    ["docs/performance.md", `\`commitBatchFrom\` (${limits.commitBatchFrom})`],
    ["config/rubin.yaml", `at most ${limits.claimItemsMax}, because`],
  ])("%s says: %s", (file, words) => {
    expect(textOf(file).replaceAll(/\s+/g, " ")).toContain(words);
  });
});

describe("the check itself", () => {
  const known: CommandTree = new Map([
    ["file ls", ["--lane"]],
    ["site", ["--json"]],
  ]);
  it.each([
    ["file ls --lane raw --json", ["has no --json"]],
    ["file lst", ["there is no file lst"]],
    ["fil ls", ["there is no fil"]],
    ["file", []],
    ["site NAME --json", []],
    ["file ls --site x", []],
    ["COMMAND --help", []],
  ])("of orrery %s says %j", (command, why) => {
    expect(wrongIn(command, known)).toEqual(why);
  });

  it("finds commands in code spans, blocks and messages", () => {
    expect(
      commandsIn("a.md", "`orrery file ls` and orrery at last\n```sh\norrery why X # comment --not\n```"),
    ).toEqual(["file ls", "why X"]);
    expect(commandsIn("a.ts", 'fix: "run orrery topology apply, or: orrery file get X"')).toEqual([
      "topology apply",
      "file get X",
    ]);
  });

  it("finds links and paths that lead nowhere", () => {
    expect(deadLinks("docs/a.md", "[a](cli.md) [b](gone.md) [c](cli.md#site) [d](cli.md#gone)")).toEqual([
      "docs/a.md links to gone.md",
      "docs/a.md links to cli.md#gone",
    ]);
    expect(anchorsOf("# The supernode's node")).toEqual(["the-supernodes-node"]);
    expect(pathsIn("see `src/gone.ts`, src/node.ts.")).toEqual(["src/gone.ts", "src/node.ts"]);
    expect(isThere("docs/a.md", "src/gone.ts")).toBe(false);
    expect(isThere("docs/a.md", "src/node.ts")).toBe(true);
  });
});
