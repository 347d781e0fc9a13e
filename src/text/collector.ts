/** Where a collector is, as configurations write it: "host", "host:port", "[IPv6]:port", "[IPv6]". */
import { isIPv6 } from "node:net";
import { hostPort } from "./host-port.ts";

export interface Collector {
  /** Name or address; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

/** Throws an Error that names the fix. */
export function parseCollector(text: string, defaultPort: number): Collector {
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(text);
  if (bracketed) {
    const host = bracketed[1]!;
    if (!isIPv6(host)) throw new Error(`${text}: "${host}" is not an IPv6 address; brackets are for those alone`);
    return { host, port: portOf(text, bracketed[2], defaultPort) };
  }
  if (isIPv6(text) || text.split(":").length > 2)
    throw new Error(`${text}: write an IPv6 address in brackets, as in "[2001:db8::1]:${defaultPort}"`);
  const colon = text.indexOf(":");
  const host = colon < 0 ? text : text.slice(0, colon);
  if (!/^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$/.test(host) || host.length > 253)
    throw new Error(`${text}: "${host}" is neither a host name nor an address; write host:${defaultPort}`);
  if (/^[0-9.]+$/.test(host) && !/^((25[0-5]|2[0-4]\d|1?\d?\d)(\.(?!$)|$)){4}$/.test(host))
    throw new Error(`${text}: "${host}" is not an IPv4 address (four numbers, 0 to 255)`);
  return { host, port: portOf(text, colon < 0 ? undefined : text.slice(colon + 1), defaultPort) };
}

function portOf(text: string, port: string | undefined, defaultPort: number): number {
  if (port === undefined) return defaultPort;
  if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65535)
    throw new Error(`${text}: "${port}" is not a port (1 to 65535)`);
  return Number(port);
}

/** The form with the port always there: "127.0.0.1:2055", "[::1]:2055". */
export const formatCollector = ({ host, port }: Collector): string => hostPort(host, port);
