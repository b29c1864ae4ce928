/** All that joins a site to its supernode, to each of its servers: what can be cut, go silent and heal together. */
import { readFileSync, writeFileSync } from "node:fs";
import { folderOf, readDeployment } from "../../../src/cli/siteFolder.ts";
import { hostPort } from "../../../src/sites/deployment.ts";
import type { Deployment } from "../../support/deployment.ts";
import { Link } from "../../support/link.ts";

export class LeafLink {
  readonly #links: ReadonlyArray<readonly [address: string, link: Link]>;

  private constructor(links: ReadonlyArray<readonly [string, Link]>) {
    this.#links = links;
  }

  static async to(deployment: Deployment, supernode: string): Promise<LeafLink> {
    const hub = await readDeployment(folderOf(deployment.folder, supernode));
    const links: Array<readonly [string, Link]> = [];
    for (const { host, leaf = 0 } of hub?.servers ?? []) {
      const address = hostPort(host, leaf);
      links.push([address, await Link.start(`nats://${address}`)]);
    }
    return new LeafLink(links);
  }

  /** The site's server joins through it when it is started the next time. Again after each `site join`. */
  put(deployment: Deployment, site: string): void {
    const file = deployment.path(site, "leaf.conf");
    let text = readFileSync(file, "utf8");
    for (const [address, { url }] of this.#links) {
      if (!text.includes(address)) throw new Error(`${file} does not join ${address}`);
      text = text.replaceAll(address, new URL(url).host);
    }
    writeFileSync(file, text);
  }

  cut(): void {
    for (const [, link] of this.#links) link.cut();
  }

  silence(): void {
    for (const [, link] of this.#links) link.silence();
  }

  forget(): void {
    for (const [, link] of this.#links) link.forget();
  }

  heal(): void {
    for (const [, link] of this.#links) link.heal();
  }

  async end(): Promise<void> {
    for (const [, link] of this.#links) await link.end();
  }
}
