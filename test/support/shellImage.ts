/**
 * For tests that run commands in containers by the client program `docker`: an image with a shell and what goes with it. That is
 * busybox where the engine has it or can pull it; else one from scratch around these programs of this machine, gone after the tests.
 */
import { execFile } from "node:child_process";
import { chmod, copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { librariesOf } from "./libraries.ts";

const official = "busybox:1.37";
const applets = ["sh", "cat", "head", "sleep", "tr"];
const answerMsMax = 10_000;
const pullMsMax = 60_000;
const buildMsMax = 120_000;

const docker = async (timeout: number, ...args: ReadonlyArray<string>): Promise<string> =>
  (await promisify(execFile)("docker", [...args], { timeout, killSignal: "SIGKILL" })).stdout;

/** Why the client program finds no engine, or null when one answers. */
export async function dockerMissing(): Promise<string | null> {
  try {
    await docker(answerMsMax, "version", "--format", "{{.Server.Version}}");
    return null;
  } catch (cause) {
    const { stderr = "", message } = cause as Error & { readonly stderr?: string };
    return stderr.trim().split("\n").at(-1) || (message.split("\n")[0] ?? message);
  }
}

export interface ShellImage {
  readonly image: string;
  readonly remove: () => Promise<void>;
}

export async function shellImage(): Promise<ShellImage> {
  const kept = { image: official, remove: () => Promise.resolve() };
  try {
    await docker(answerMsMax, "image", "inspect", official);
    return kept;
  } catch {
    // Not here yet.
  }
  let pull: unknown;
  try {
    await docker(pullMsMax, "pull", "--quiet", official);
    return kept;
  } catch (cause) {
    pull = cause;
  }
  try {
    return await fromScratch();
  } catch (cause) {
    throw new Error(`${official} cannot be pulled (${String(pull)}), nor one be built`, { cause });
  }
}

/** Why a container cannot be given folders of this machine, as where the engine is another one's; null when it can. */
export async function foldersUnseen(image: string): Promise<string | null> {
  const folder = await mkdtemp(join(tmpdir(), "orrery-docker-seen-"));
  const none = "the engine does not see this machine's folders";
  try {
    await writeFile(join(folder, "seen"), folder);
    const mounts = ["--mount", `type=bind,source=${folder},target=/seen,readonly`];
    const seen = await docker(answerMsMax, "run", "--rm", ...mounts, image, "cat", "/seen/seen");
    return seen === folder ? null : none;
  } catch (cause) {
    if (/bind source path does not exist/.test(String(cause))) return none;
    throw cause;
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function fromScratch(): Promise<ShellImage> {
  const context = await mkdtemp(join(tmpdir(), "orrery-image-"));
  try {
    const put = async (file: string, at: string): Promise<void> => {
      const target = join(context, "root", at);
      await mkdir(dirname(target), { recursive: true });
      await copyFile(file, target);
      await chmod(target, 0o755);
    };
    for (const applet of applets) {
      const { stdout } = await promisify(execFile)("/bin/sh", ["-c", `command -v ${applet}`]);
      const file = stdout.trim();
      await put(file, `/bin/${applet}`);
      for (const library of await librariesOf(file)) await put(library, library);
    }
    await writeFile(join(context, "Dockerfile"), "FROM scratch\nCOPY root/ /\nENV PATH=/bin\n");
    const image = `localhost/orrery-test-shell:${process.pid}`;
    await docker(buildMsMax, "build", "--quiet", "--tag", image, context);
    return { image, remove: async () => void (await docker(answerMsMax, "rmi", "--force", image)) };
  } finally {
    await rm(context, { recursive: true, force: true, maxRetries: 3 });
  }
}
