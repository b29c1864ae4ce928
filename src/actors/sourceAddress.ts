/**
 * Whom a request comes from, as the limits by address mean it: the peer of the connection, or whom a trusted proxy says that it passes on.
 *
 * An IPv6 address stands for its /64: a single machine has all of one. What stands in `X-Forwarded-For` is believed from its end backwards,
 * for as long as it was trusted proxies that wrote it: whatever a sender itself puts there stands before that. Who is passed on is
 * limited also as an address of this machine.
 */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { BlockList, isIP } from "node:net";
import { forwardedAddress, limitedAs, parseNetwork, plain } from "../protocol/networkAddress.ts";

const addressCharsMax = 64;
const hopsMax = 16;

export interface SourceOptions {
  /** Addresses and networks whose `X-Forwarded-For` is believed. */
  readonly trustedProxies: ReadonlyArray<string>;
  /** Senders on this machine are limited as well; default: they are not. */
  readonly limitsLoopback?: boolean;
}

interface Peer {
  readonly address: string;
  readonly isTrusted: boolean;
  readonly key: string | null;
}

export class SourceAddresses {
  readonly #trusted = new BlockList();
  readonly #loopback = new BlockList();
  readonly #limitsLoopback: boolean;
  readonly #trustsAny: boolean;
  /** By connection: they are asked of each request, and a connection's do not change. */
  readonly #peers = new WeakMap<Socket, Peer>();

  constructor({ trustedProxies, limitsLoopback = false }: SourceOptions) {
    this.#limitsLoopback = limitsLoopback;
    this.#trustsAny = trustedProxies.length > 0;
    this.#loopback.addSubnet("127.0.0.0", 8, "ipv4");
    this.#loopback.addAddress("::1", "ipv6");
    for (const text of trustedProxies) {
      const network = parseNetwork(text);
      if (network === null) throw new TypeError(`${text} is neither an address nor a network`);
      this.#trusted.addSubnet(network.address, network.bits, network.family);
    }
  }

  /** What the connection's peer is limited as; null where it is not: this machine, a trusted proxy, a connection that is gone. */
  ofConnection(socket: Socket): string | null {
    const peer = this.#peerOf(socket);
    return peer.isTrusted ? null : peer.key;
  }

  /** What the request's sender is limited as; null where it is not. */
  ofRequest(request: IncomingMessage): string | null {
    const peer = this.#peerOf(request.socket);
    if (!peer.isTrusted) return peer.key;
    const header = request.headers["x-forwarded-for"];
    if (header === undefined) return peer.key;
    const hops = (typeof header === "string" ? header : header.join(",")).split(",");
    let sender = peer.address;
    for (const hop of hops.toReversed().slice(0, hopsMax)) {
      const text = hop.trim();
      const address = text.length > addressCharsMax ? null : forwardedAddress(text);
      // What is no address was written by nobody who is trusted: the last that was stands for it.
      if (address === null) break;
      sender = address;
      if (!this.#is(this.#trusted, address)) break;
    }
    // Written by somebody: only a connection itself shows that it comes from this machine.
    return sender === "" ? null : limitedAs(sender);
  }

  #peerOf(socket: Socket): Peer {
    const known = this.#peers.get(socket);
    if (known !== undefined) return known;
    const address = plain(socket.remoteAddress ?? "");
    const isTrusted = this.#trustsAny && this.#is(this.#trusted, address);
    const peer = { address, isTrusted, key: this.#keyOf(address) };
    this.#peers.set(socket, peer);
    return peer;
  }

  #keyOf(address: string): string | null {
    if (address === "") return null;
    return !this.#limitsLoopback && this.#is(this.#loopback, address) ? null : limitedAs(address);
  }

  #is(list: BlockList, address: string): boolean {
    return isIP(address) !== 0 && list.check(address, address.includes(":") ? "ipv6" : "ipv4");
  }
}
