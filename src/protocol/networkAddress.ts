/** Addresses and networks of senders, as text. Pure. */
import { isIP, isIPv4, isIPv6 } from "node:net";

/** Null for what is neither an address nor a network in CIDR notation. */
export function parseNetwork(
  text: string,
): { readonly address: string; readonly bits: number; readonly family: "ipv4" | "ipv6" } | null {
  const [address = "", bits, ...rest] = text.split("/");
  const family = isIPv4(address) ? "ipv4" : isIPv6(address) ? "ipv6" : null;
  if (family === null || rest.length > 0 || address.includes("%")) return null;
  const most = family === "ipv4" ? 32 : 128;
  if (bits === undefined) return { address, bits: most, family };
  const count = /^\d{1,3}$/.test(bits) ? Number(bits) : Number.POSITIVE_INFINITY;
  return count > most ? null : { address, bits: count, family };
}

/** `::ffff:7f00:1` as any other spelling of it is written at last. */
const mapped = /^\[::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})\]$/;

/** An IPv4 address that came over an IPv6 socket, or is written so, is one of IPv4. */
export function plain(address: string): string {
  if (!address.includes(":") || !isIPv6(address)) return address;
  const [, high, low] = mapped.exec(URL.parse(`http://[${address}]`)?.hostname ?? "") ?? [];
  if (high === undefined || low === undefined) return address;
  const [a, b] = [Number.parseInt(high, 16), Number.parseInt(low, 16)];
  return [a >> 8, a & 255, b >> 8, b & 255].join(".");
}

/** The first four groups of an IPv6 address, `2001:db8:0:1::/64`; an IPv4 address as it is. */
export function limitedAs(address: string): string {
  if (!address.includes(":")) return address;
  const [head = "", tail] = (address.split("%")[0] ?? "").split("::");
  const groups = (text: string): Array<string> => (text === "" ? [] : text.split(":"));
  const first = groups(head);
  // An IPv4 address at the end stands for two groups.
  const last = groups(tail ?? "").flatMap((group) => (group.includes(".") ? ["0", "0"] : [group]));
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - first.length - last.length);
  const all = [...first, ...Array.from({ length: zeros }, () => "0"), ...last];
  const prefix = all.slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16));
  return `${prefix.join(":")}::/64`;
}

/** Ports and brackets off: proxies write `192.0.2.7:1234` and `[2001:db8::7]:1234` too. Null for what is no address. */
export function forwardedAddress(text: string): string | null {
  const bare = /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1] ?? /^([\d.]+):\d+$/.exec(text)?.[1] ?? text;
  return isIP(bare) === 0 ? null : plain(bare);
}
