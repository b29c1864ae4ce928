/** A link between one process and a server: a TCP proxy that can be cut, go silent and heal, and sees what passes. */
import type { Server, Socket } from "node:net";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";

/** One thing to wait for on the link, in the order of {@link Aim.steps}. */
export interface Step {
  /** `up`: from the process to the server. */
  readonly way: "up" | "down";
  readonly text: string;
}

/**
 * What to wait for. `through`: whether the bytes in which the last step was seen are passed on; if not, everything from its
 * text on is held back until the link is cut.
 */
export interface Aim {
  readonly steps: ReadonlyArray<Step>;
  readonly through: boolean;
}

interface Armed {
  readonly aim: Aim;
  readonly hit: () => void;
  at: number;
}

type State = "open" | "cut" | "silent";

/** Longer than any text that is aimed at: it may stand on both sides of a piece's end. */
const seamBytes = 200;

export class Link {
  readonly #target: { readonly host: string; readonly port: number };
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  /** Nothing passes on these any more. */
  readonly #forgotten = new Set<readonly [Socket, Socket]>();
  #state: State = "open";
  #armed: Armed | null = null;
  #port = 0;

  private constructor(target: string) {
    const { hostname, port } = new URL(target);
    this.#target = { host: hostname, port: Number(port) };
    this.#server = createServer((near) => this.#join(near));
  }

  /** @param target `nats://host:port` */
  static async start(target: string): Promise<Link> {
    const link = new Link(target);
    await new Promise<void>((resolve, reject) => {
      link.#server.once("error", reject);
      link.#server.listen(0, "127.0.0.1", resolve);
    });
    link.#port = (link.#server.address() as AddressInfo).port;
    return link;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.#port}`;
  }

  #join(near: Socket): void {
    if (this.#state === "cut") {
      near.resetAndDestroy();
      return;
    }
    const far = connect(this.#target);
    const pair = [near, far] as const;
    this.#pairs.add(pair);
    const over = (): void => {
      this.#pairs.delete(pair);
      this.#forgotten.delete(pair);
      near.destroy();
      far.destroy();
    };
    for (const socket of pair) {
      socket.setNoDelay(true);
      socket.on("error", over);
      socket.on("close", over);
    }
    this.#carry(pair, near, far, "up");
    this.#carry(pair, far, near, "down");
    if (this.#state === "silent") for (const socket of pair) socket.pause();
  }

  #carry(pair: readonly [Socket, Socket], from: Socket, to: Socket, way: Step["way"]): void {
    const flows = (): boolean => this.#state === "open" && this.#pairs.has(pair);
    let seam = Buffer.alloc(0);
    let held = false;
    from.on("data", (piece: Buffer) => {
      if (held) return;
      const seen = this.#armed === null ? null : this.#see(way, Buffer.concat([seam, piece]), seam.length);
      seam = Buffer.from(piece.subarray(-seamBytes));
      if (seen === null) {
        if (!to.write(piece) && flows()) {
          from.pause();
          to.once("drain", () => {
            if (flows()) from.resume();
          });
        }
        return;
      }
      const { armed, at } = seen;
      if (armed.aim.through) to.write(piece);
      else {
        held = true;
        to.write(piece.subarray(0, Math.max(0, at)));
      }
      armed.hit();
    });
  }

  /** The armed aim and the place of its last step's text in the piece, once that came by. */
  #see(way: Step["way"], bytes: Buffer, seam: number): { readonly armed: Armed; readonly at: number } | null {
    const armed = this.#armed;
    let from = 0;
    for (;;) {
      const step = armed?.aim.steps[armed.at];
      if (armed === null || step === undefined || step.way !== way) return null;
      // What ends within the seam was seen with the piece before.
      const found = bytes.indexOf(step.text, Math.max(from, seam - step.text.length + 1), "latin1");
      if (found < 0) return null;
      armed.at++;
      from = found + step.text.length;
      if (armed.at < armed.aim.steps.length) continue;
      this.#armed = null;
      return { armed, at: found - seam };
    }
  }

  /** Calls `hit` once, in the moment in which the last step is seen. */
  aim(aim: Aim, hit: () => void): void {
    this.#armed = { aim, hit, at: 0 };
  }

  disarm(): void {
    this.#armed = null;
  }

  /** Every connection is reset, and new ones are too. */
  cut(): void {
    this.#state = "cut";
    for (const pair of this.#pairs) for (const socket of pair) socket.resetAndDestroy();
  }

  /** Nothing passes and nobody is told: what is sent is on the way until the link heals. */
  silence(): void {
    this.#state = "silent";
    for (const pair of this.#pairs) for (const socket of pair) socket.pause();
  }

  /** What is connected now is dead for good and nobody is told, as when a firewall forgets it. New connections are made. */
  forget(): void {
    for (const pair of this.#pairs) {
      for (const socket of pair) socket.pause();
      this.#forgotten.add(pair);
      this.#pairs.delete(pair);
    }
  }

  heal(): void {
    this.#state = "open";
    for (const pair of this.#pairs) for (const socket of pair) socket.resume();
  }

  async end(): Promise<void> {
    this.#armed = null;
    this.cut();
    for (const pair of this.#forgotten) for (const socket of pair) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
