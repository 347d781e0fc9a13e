/**
 * A raw socket for one IP protocol to one address (raw(7), ip(7), ipv6(7)): the host's IP stack routes, resolves
 * neighbours, writes the IP header and knows the path's MTU. It receives nothing.
 *
 * ```
 * sockaddr_in    0 family u16 | 2 port u16 | 4 address 4 | 8 zero 8
 * sockaddr_in6   0 family u16 | 2 port u16 | 4 flow info 4 | 8 address 16 | 24 scope u32
 * ```
 */
import {
  AF_INET,
  AF_INET6,
  check,
  errno,
  libc,
  MSG_DONTWAIT,
  setOption,
  setSendBuffer,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  takeSocketError,
} from "./libc.ts";
import { attachFilter, RECEIVE_NOTHING } from "./socket-filter.ts";

const SOL_IP = 0;
const IP_TOS = 1;
const IP_TTL = 2;
const IP_MTU_DISCOVER = 10;
const IP_RECVERR = 11;
const IP_MTU = 14;
const SOL_IPV6 = 41;
const IPV6_UNICAST_HOPS = 16;
const IPV6_MTU_DISCOVER = 23;
const IPV6_MTU = 24;
const IPV6_RECVERR = 25;
const IPV6_TCLASS = 67;
const PMTUDISC_DONT = 0;
const PMTUDISC_DO = 2;
const IPV4_HEADER_BYTES = 20;
const IPV6_HEADER_BYTES = 40;
const SOCKADDR_IN = 16;
const SOCKADDR_IN6 = 28;

export interface IpSocketOptions {
  /** IP protocol number. */
  readonly protocol: number;
  /** Of the other end: 4 or 16 bytes. */
  readonly remote: Uint8Array;
  /** That packets leave from, of the same length; the route's unless given. */
  readonly source?: Uint8Array | undefined;
  readonly ttl: number;
  /** Of IPv4, traffic class of IPv6. */
  readonly tos: number;
  /** What does not fit the path may go in fragments; otherwise it is refused (EMSGSIZE). */
  readonly fragment: boolean;
  /** Bytes that may wait in the kernel. */
  readonly bufferBytes: number;
}

export interface IpSocket {
  /** That packets leave from: 4 or 16 bytes. */
  readonly source: Uint8Array;
  /** Bytes after the IP header that the path takes in one piece, as the kernel knows now; 0: there is no route. */
  payloadMtu(): number;
  /** Send the first `bytes` of `payload`. Returns 0, or the errno for which it was refused; never waits. */
  send(payload: Uint8Array, bytes: number): number;
  /** What the network answered to something sent since the last call, an errno; 0: nothing. */
  takeError(): number;
  close(): void;
}

function sockaddr(address: Uint8Array): Uint8Array {
  const isV4 = address.length === 4;
  const bytes = new Uint8Array(isV4 ? SOCKADDR_IN : SOCKADDR_IN6);
  bytes[0] = isV4 ? AF_INET : AF_INET6;
  bytes.set(address, isV4 ? 4 : 8);
  return bytes;
}

/** Throws a SystemError: no permission, no route, an address that is not this host's. */
export function openIpSocket(options: IpSocketOptions): IpSocket {
  const { protocol, remote, source, ttl, tos, fragment, bufferBytes } = options;
  const c = libc();
  const isV4 = remote.length === 4;
  const type = SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const fd = check(c.socket(isV4 ? AF_INET : AF_INET6, type, protocol), "raw IP socket");
  const [level, ttlOption, tosOption, discover, mtuOption, errorOption] = isV4
    ? [SOL_IP, IP_TTL, IP_TOS, IP_MTU_DISCOVER, IP_MTU, IP_RECVERR]
    : [SOL_IPV6, IPV6_UNICAST_HOPS, IPV6_TCLASS, IPV6_MTU_DISCOVER, IPV6_MTU, IPV6_RECVERR];
  try {
    attachFilter(fd, RECEIVE_NOTHING);
    check(setOption(fd, level, ttlOption, ttl), "raw IP socket, TTL");
    check(setOption(fd, level, tosOption, tos), "raw IP socket, TOS");
    check(setOption(fd, level, discover, fragment ? PMTUDISC_DONT : PMTUDISC_DO), "raw IP socket, path MTU");
    // A neighbour that does not answer, a route that is gone.
    check(setOption(fd, level, errorOption, 1), "raw IP socket, errors");
    setSendBuffer(fd, bufferBytes);
    if (source !== undefined) {
      const from = sockaddr(source);
      check(c.bind(fd, from, from.length), "raw IP socket, source address");
    }
    const to = sockaddr(remote);
    check(c.connect(fd, to, to.length), "raw IP socket, route to the remote");
  } catch (error) {
    c.close(fd);
    throw error;
  }
  const name = new Uint8Array(SOCKADDR_IN6);
  c.getsockname(fd, name, Uint32Array.of(SOCKADDR_IN6));
  const mtu = new Uint32Array(1);
  return {
    source: isV4 ? name.slice(4, 8) : name.slice(8, 24),
    payloadMtu() {
      if (c.getsockopt(fd, level, mtuOption, mtu, Uint32Array.of(4)) < 0) return 0;
      return mtu[0]! - (isV4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES);
    },
    send: (payload, bytes) => (c.send(fd, payload, bytes, MSG_DONTWAIT) < 0 ? errno() : 0),
    takeError: () => takeSocketError(fd),
    close: () => void c.close(fd),
  };
}
