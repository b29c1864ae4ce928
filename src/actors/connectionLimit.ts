/** So many open connections from each address: one that has them all leaves none for the others. */
import type { Socket } from "node:net";
import type { SourceAddresses } from "./sourceAddress.ts";

export class ConnectionLimit {
  readonly #sources: SourceAddresses;
  readonly #max: number;
  /** By address, those that are open: bounded by the connections that the listener accepts. */
  readonly #open = new Map<string, number>();

  constructor(sources: SourceAddresses, max: number) {
    this.#sources = sources;
    this.#max = max;
  }

  /** Counts the connection until it closes. @returns the address that has too many of them; null where it may stay */
  admit(socket: Socket): string | null {
    const address = this.#sources.ofConnection(socket);
    if (address === null) return null;
    const open = this.#open.get(address) ?? 0;
    if (open >= this.#max) return address;
    this.#open.set(address, open + 1);
    socket.once("close", () => {
      const left = (this.#open.get(address) ?? 1) - 1;
      if (left === 0) this.#open.delete(address);
      else this.#open.set(address, left);
    });
    return null;
  }
}
