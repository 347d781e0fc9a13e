/**
 * The C library's calls that Weir makes, one typed function each. They return what C returns (−1 and `errno` on error);
 * `check` turns that into a SystemError. A call costs about 0.2 µs: once per batch, never per packet.
 */
import { constants } from "node:os";
import { loadLibrary, loadNative } from "./native.ts";

type Bytes = Uint8Array | Uint32Array | Int32Array | BigUint64Array;
type Address = number;

export interface Libc {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Bytes, length: number): number;
  connect(fd: number, address: Bytes, length: number): number;
  getsockname(fd: number, address: Bytes, length: Uint32Array): number;
  setsockopt(fd: number, level: number, option: number, value: Bytes, length: number): number;
  getsockopt(fd: number, level: number, option: number, value: Bytes, length: Uint32Array): number;
  ioctl(fd: number, request: number, argument: Bytes): number;
  ioctlValue(fd: number, request: number, argument: number): number;
  open(path: string, flags: number, mode: number): number;
  close(fd: number): number;
  read(fd: number, buffer: Bytes, bytes: number): number;
  readAt(fd: number, buffer: Address, bytes: number): number;
  write(fd: number, buffer: Bytes, bytes: number): number;
  writeAt(fd: number, buffer: Address, bytes: number): number;
  send(fd: number, buffer: Bytes, bytes: number, flags: number): number;
  recv(fd: number, buffer: Bytes, bytes: number, flags: number): number;
  sendto(fd: number, buffer: Bytes, bytes: number, flags: number, to: Bytes, length: number): number;
  sendmmsg(fd: number, messages: Address, count: number, flags: number): number;
  poll(fds: Address, count: number, timeoutMs: number): number;
  eventfd(initial: number, flags: number): number;
  pipe2(fds: Int32Array, flags: number): number;
  fcntl(fd: number, command: number, argument: number): number;
  mmap(address: Address, bytes: number, protection: number, flags: number, fd: number, offset: number): number;
  munmap(address: Address, bytes: number): number;
}

let functions: Libc | undefined;

/** The functions; loads koffi and libc at the first call. Throws as loadNative does. */
export function libc(): Libc {
  if (functions) return functions;
  const library = loadLibrary("libc.so.6", "libc6");
  const f = library.func;
  functions = {
    socket: f("int socket(int, int, int)"),
    bind: f("int bind(int, void *, uint32_t)"),
    connect: f("int connect(int, void *, uint32_t)"),
    getsockname: f("int getsockname(int, void *, void *)"),
    setsockopt: f("int setsockopt(int, int, int, void *, uint32_t)"),
    getsockopt: f("int getsockopt(int, int, int, void *, void *)"),
    ioctl: f("int ioctl(int, uint64_t, void *)"),
    ioctlValue: f("int ioctl(int, uint64_t, uint64_t)"),
    open: f("int open(const char *, int, uint32_t)"),
    close: f("int close(int)"),
    read: f("int64_t read(int, void *, size_t)"),
    readAt: f("int64_t read(int, uintptr_t, size_t)"),
    write: f("int64_t write(int, void *, size_t)"),
    writeAt: f("int64_t write(int, uintptr_t, size_t)"),
    send: f("int64_t send(int, void *, size_t, int)"),
    recv: f("int64_t recv(int, void *, size_t, int)"),
    sendto: f("int64_t sendto(int, void *, size_t, int, void *, uint32_t)"),
    sendmmsg: f("int sendmmsg(int, uintptr_t, uint32_t, int)"),
    poll: f("int poll(uintptr_t, uint64_t, int)"),
    eventfd: f("int eventfd(uint32_t, int)"),
    pipe2: f("int pipe2(void *, int)"),
    fcntl: f("int fcntl(int, int, uint64_t)"),
    mmap: f("uintptr_t mmap(uintptr_t, size_t, int, int, int, int64_t)"),
    munmap: f("int munmap(uintptr_t, size_t)"),
  };
  return functions;
}

/** errno of the last call that failed in this thread; stale after a call that succeeded. */
export function errno(): number {
  return loadNative().errno();
}

const byNumber = new Map<number, string>();

/** `EBUSY` for 16. */
export function errnoName(number: number): string {
  if (byNumber.size === 0)
    for (const [name, value] of Object.entries(constants.errno)) if (!byNumber.has(value)) byNumber.set(value, name);
  return byNumber.get(number) ?? `errno ${number}`;
}

/** What a person can do about the errors that really happen. */
const ADVICE: Record<string, string> = {
  EPERM: "not permitted: run as root, or with CAP_NET_ADMIN and CAP_NET_RAW",
  EACCES: "not permitted: run as root, or with CAP_NET_ADMIN and CAP_NET_RAW",
  ENODEV: "no such device",
  ENOENT: "not there",
  EBUSY: "in use by another process",
  ENOMEM: "not enough memory",
  ENOBUFS: "not enough buffer memory",
  EMFILE: "too many open files in this process: raise LimitNOFILE",
  ENFILE: "too many open files on this host",
};

export class SystemError extends Error {
  readonly code: string;
  readonly errno: number;

  constructor(what: string, number: number) {
    const code = errnoName(number);
    super(`${what}: ${ADVICE[code] ? `${ADVICE[code]} (${code})` : code}`);
    this.code = code;
    this.errno = number;
  }
}

/** The result of a call, or a SystemError saying what was being done. */
export function check(result: number, what: string): number {
  if (result < 0) throw new SystemError(what, errno());
  return result;
}

// Numbers of the kernel's ABI (include/uapi), the same on x86-64 and arm64.
export const EPERM = 1;
export const EAGAIN = 11;
export const ENODEV = 19;
export const EINVAL = 22;
export const EPROTO = 71;
export const EMSGSIZE = 90;
export const ENOPROTOOPT = 92;
export const ENETDOWN = 100;
export const ENETUNREACH = 101;
export const ENOBUFS = 105;
export const ECONNREFUSED = 111;
export const EHOSTUNREACH = 113;

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const AF_PACKET = 17;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_NONBLOCK = 0x800;
export const SOCK_CLOEXEC = 0x80000;
export const SOL_SOCKET = 1;
export const SO_ERROR = 4;
export const SO_RCVTIMEO = 20;
export const SO_ATTACH_FILTER = 26;
export const SO_SNDBUF = 7;
export const SO_SNDBUFFORCE = 32;
export const MSG_DONTWAIT = 0x40;
export const O_RDWR = 2;
export const O_NONBLOCK = 0x800;
export const O_CLOEXEC = 0x80000;
export const PROT_READ_WRITE = 3;
export const MAP_SHARED = 0x01;
export const MAP_PRIVATE = 0x02;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_NORESERVE = 0x4000;

/** Set an integer option. Returns what setsockopt returned. */
export function setOption(fd: number, level: number, option: number, value: number): number {
  return libc().setsockopt(fd, level, option, Uint32Array.of(value), 4);
}

/** Bytes that may wait in the kernel to be sent: above the host's limit where we may, else up to it (socket(7)). */
export function setSendBuffer(fd: number, bytes: number): void {
  if (setOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, bytes) < 0) setOption(fd, SOL_SOCKET, SO_SNDBUF, bytes);
}

/** Read and clear a socket's pending error (SO_ERROR). */
export function takeSocketError(fd: number): number {
  const value = new Uint32Array(1);
  libc().getsockopt(fd, SOL_SOCKET, SO_ERROR, value, Uint32Array.of(4));
  return value[0]!;
}

const F_SETPIPE_SZ = 1031;

/** A pipe whose ends never block, holding up to `bytes` (less where the host allows less). */
export function makePipe(bytes: number): { readonly read: number; readonly write: number } {
  const fds = new Int32Array(2);
  check(libc().pipe2(fds, O_NONBLOCK | O_CLOEXEC), "pipe");
  libc().fcntl(fds[1]!, F_SETPIPE_SZ, bytes);
  return { read: fds[0]!, write: fds[1]! };
}

/** A buffer's bytes, as C strings end: up to the first 0. */
export function cString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}
