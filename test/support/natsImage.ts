/**
 * Set-up of the vitest project `container`, once a run: the image its servers run from. That is the official one where it
 * can be pulled; else one from scratch around the nats-server of this machine, gone after the run. What a run that was
 * killed left behind goes at the next one's start. (Not left to testcontainers' reaper: that is one more image to pull.)
 */
import { chmod, copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { ContainerRuntimeClient } from "testcontainers";
import { GenericContainer, ImageName } from "testcontainers";
import type { TestProject } from "vitest/node";
import { findNatsServer, NATS_SERVER_PINNED } from "../../scripts/nats-server/find.mjs";
import { containerEngine, within } from "./containerEngine.ts";
import { librariesOf } from "./libraries.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** What the workers start servers from and the value of `ownerLabel` on them, or why there is nothing to start. */
    readonly natsContainer: { readonly image: string; readonly owner: string } | { readonly failure: string };
  }
}

export const ownerLabel = "orrery.test.owner";

const pullMsMax = 60_000;
const buildMsMax = 120_000;

const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));

async function pulled(engine: ContainerRuntimeClient): Promise<string> {
  const image = ImageName.fromString(`nats:${NATS_SERVER_PINNED}`);
  await within(pullMsMax, "pulling it", engine.image.pull(image));
  // A pull that fails while it is under way ends as if it had worked.
  if (!(await engine.image.exists(image))) throw new Error("pulling it gave no image");
  return image.string;
}

async function built(owner: string): Promise<{ readonly image: string; readonly words: string }> {
  if (process.platform !== "linux") throw new Error("the nats-server of this machine is no Linux program");
  const server = await findNatsServer();
  const context = await mkdtemp(join(tmpdir(), "orrery-image-"));
  try {
    const put = async (file: string, at: string): Promise<void> => {
      const target = join(context, "root", at);
      await mkdir(dirname(target), { recursive: true });
      await copyFile(file, target);
      await chmod(target, 0o755);
    };
    await put(server.path, "nats-server");
    const libraries = await librariesOf(server.path);
    for (const library of libraries) await put(library, library);
    const dockerfile = [
      "FROM scratch",
      `LABEL ${ownerLabel}=${JSON.stringify(owner)}`,
      "COPY root/ /",
      'ENTRYPOINT ["/nats-server"]',
      "",
    ];
    await writeFile(join(context, "Dockerfile"), dockerfile.join("\n"));
    // With a registry in its name it is not looked for in one, whatever prefix is set for those that are.
    const image = `localhost/orrery-test-nats:${process.pid}`;
    const build = GenericContainer.fromDockerfile(context).build(image, { deleteOnExit: false });
    await within(buildMsMax, "building it", build);
    const kind = libraries.length === 0 ? "the static" : `the (dynamic, with ${libraries.length} libraries)`;
    return { image, words: `built from scratch around ${kind} nats-server ${server.version}` };
  } finally {
    await rm(context, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function imageFor(
  engine: ContainerRuntimeClient,
  owner: string,
): Promise<{ readonly image: string; readonly words: string }> {
  let pull: unknown;
  try {
    return { image: await pulled(engine), words: "the official image" };
  } catch (cause) {
    pull = cause;
  }
  try {
    return await built(owner);
  } catch (cause) {
    throw new Error(
      `A container engine answers, but there is no image of nats-server for it. nats:${NATS_SERVER_PINNED}: ` +
        `${reasonOf(pull)}. One from scratch: ${reasonOf(cause)}. Without containers: ORRERY_TEST_NATS=native npm test`,
      { cause },
    );
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    // Gone; or somebody else's by now, and then not the run that made these.
    return false;
  }
}

/** Removes the containers and images of those owners, running or not. */
async function remove(engine: ContainerRuntimeClient, isTheirs: (owner: string) => boolean): Promise<void> {
  const docker = engine.container.dockerode;
  const filters = { label: [ownerLabel] };
  for (const { Id, Labels } of await docker.listContainers({ all: true, filters }))
    if (isTheirs(Labels[ownerLabel] ?? "")) await docker.getContainer(Id).remove({ force: true, v: true });
  for (const { Id, Labels } of await docker.listImages({ filters }))
    if (isTheirs(Labels?.[ownerLabel] ?? "")) await docker.getImage(Id).remove({ force: true });
}

export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  // Read by the build too, which would start the reaper for nothing.
  process.env["TESTCONTAINERS_RYUK_DISABLED"] = "true";
  const engine = await containerEngine();
  const here = `${hostname()}/`;
  const owner = `${here}${process.pid}`;
  // An engine may be shared by machines: the runs of another one cannot be judged from here.
  await remove(engine, (other) => other.startsWith(here) && !isAlive(Number(other.slice(here.length))));
  try {
    const { image, words } = await imageFor(engine, owner);
    console.log(`Servers in containers of ${image}: ${words}.`);
    project.provide("natsContainer", { image, owner });
  } catch (cause) {
    // Thrown here it would end the run before any test: so it fails each file of this project, and no other.
    project.provide("natsContainer", { failure: reasonOf(cause) });
  }
  return () => remove(engine, (other) => other === owner);
}
