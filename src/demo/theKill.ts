/**
 * The second node's death. It is killed in the moment in which the ledger shows that it has a batch in hand, and only
 * what its slot still holds once the process is gone counts as caught: no process is stopped or slowed for it.
 */
import { getSlotUnsafe } from "../jetstream/ledger.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import type { ClaimedItem } from "../protocol/records.ts";
import type { Hand, NightPicture } from "./picture.ts";
import type { SecondProcess } from "./secondProcess.ts";

const itemsMin = 6;
const catchMsMax = 5_000;
const backMsMax = 90_000;

export interface Kill {
  readonly claim: string;
  readonly items: ReadonlyArray<ClaimedItem>;
  /** By the night's clock, ms. */
  readonly at: number;
  /** Node that took the claim back, and how long after the kill; null: nobody did in time. */
  takenBack: { readonly by: string; readonly afterMs: number } | null;
  /** The process runs again. */
  revived: boolean;
}

interface Caught {
  readonly key: string;
  readonly claim: string;
  readonly items: ReadonlyArray<ClaimedItem>;
}

export class TheKill {
  readonly #nats: NatsService;
  readonly #picture: NightPicture;
  readonly #second: SecondProcess;
  readonly #mailbox: string;
  readonly #victim: string;
  readonly #failed: (how: string) => void;
  /** Tries in which it was quicker and had settled what it held. */
  missed = 0;
  kill: Kill | null = null;
  #busy = false;

  constructor(needs: {
    readonly nats: NatsService;
    readonly picture: NightPicture;
    readonly second: SecondProcess;
    readonly mailbox: string;
    readonly victim: string;
    /** Told when it cannot be started again. */
    readonly failed: (how: string) => void;
  }) {
    this.#nats = needs.nats;
    this.#picture = needs.picture;
    this.#second = needs.second;
    this.#mailbox = needs.mailbox;
    this.#victim = needs.victim;
    this.#failed = needs.failed;
  }

  /** Its story is at its end: taken back by another, and the process started again, or neither in time. */
  get over(): boolean {
    return !this.#busy;
  }

  /**
   * Kills it at its next claim, while `during` sends what it may claim. False when it could not be caught with anything in
   * hand: then it runs (again), and another try may be made.
   */
  async attempt(during: () => Promise<void>): Promise<boolean> {
    const catching = this.#catch();
    await during();
    const caught = await catching;
    if (caught === null) return false;
    const at = this.#picture.now();
    await this.#second.ended;
    const found = await getSlotUnsafe(this.#nats, caught.key);
    if (found === null || found.slot.state !== "claimed" || found.slot.id !== caught.claim) {
      this.missed++;
      this.#picture.say("note", `${this.#victim} was killed, but had settled its batch before; once more`);
      await this.#second.start();
      return false;
    }
    const kill: Kill = { claim: caught.claim, items: caught.items, at, takenBack: null, revived: false };
    this.kill = kill;
    this.#picture.say("bad", `${this.#victim} killed -9 with ${caught.items.length} files in hand`);
    this.#busy = true;
    void this.#untilTakenBack(kill, caught.key)
      .then(() => this.#revive(kill))
      .catch((cause: unknown) => this.#failed(cause instanceof Error ? cause.message : String(cause)))
      .finally(() => (this.#busy = false));
    return true;
  }

  /** Kills it synchronously with the news of its claim: every millisecond counts. */
  #catch(): Promise<Caught | null> {
    return new Promise((resolve) => {
      const give = (caught: Caught | null): void => {
        clearTimeout(late);
        this.#picture.onHand = () => undefined;
        resolve(caught);
      };
      const late = setTimeout(() => give(null), catchMsMax);
      this.#picture.onHand = (key: string, { node, mailbox, slot }: Hand) => {
        if (node !== this.#victim || mailbox !== this.#mailbox || slot.state !== "claimed") return;
        if (slot.items.length < itemsMin || this.#second.state !== "running") return;
        this.#second.kill();
        give({ key, claim: slot.id, items: slot.items });
      };
    });
  }

  async #untilTakenBack(kill: Kill, key: string): Promise<void> {
    const until = performance.now() + backMsMax;
    while (performance.now() < until) {
      const slot = this.#picture.hands.get(key)?.slot;
      if (slot?.state === "idle" && slot.last === kill.claim && slot.how === "reclaimed") {
        kill.takenBack = { by: slot.by, afterMs: this.#picture.now() - kill.at };
        const seconds = (kill.takenBack.afterMs / 1_000).toFixed(1);
        this.#picture.say(
          "good",
          `${slot.by} took ${this.#victim}'s ${kill.items.length} files back, ${seconds} s after`,
        );
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    this.#picture.say("bad", `nobody took back what ${this.#victim} had in hand`);
  }

  async #revive(kill: Kill): Promise<void> {
    const began = this.#picture.now();
    await this.#second.start();
    kill.revived = true;
    const seconds = ((this.#picture.now() - began) / 1_000).toFixed(1);
    this.#picture.say("note", `${this.#victim} runs again, started in ${seconds} s`);
  }
}
