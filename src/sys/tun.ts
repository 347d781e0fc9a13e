/**
 * Taps (Documentation/networking/tuntap.rst): an Ethernet device of the host on one side, a descriptor that reads and
 * writes its frames, each led by a virtio-net header, on the other.
 */
import { check, errno, libc, O_CLOEXEC, O_NONBLOCK, O_RDWR, SystemError } from "./libc.ts";

const TUNSETIFF = 0x400454ca;
const TUNSETPERSIST = 0x400454cb;
const TUNSETOWNER = 0x400454cc;
const TUNSETGROUP = 0x400454ce;
const TUNSETOFFLOAD = 0x400454d0;
const IFF_TAP = 0x0002;
const IFF_MULTI_QUEUE = 0x0100;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
// What the reader of the descriptor takes unfinished: checksums, TCP over IPv4 and IPv6 with ECN, UDP (Linux ≥ 6.2).
const TUN_F_TCP = 0x01 | 0x02 | 0x04 | 0x08;
const TUN_F_USO = 0x20 | 0x40;
const EBUSY = 16;
const IFREQ_BYTES = 40;
const IFNAMSIZ = 16;

export interface TapOptions {
  /** More than one queue per VM: whoever opens it must ask for that too. */
  readonly multiQueue?: boolean;
}

/** Open (and, where it does not exist, make) a tap. Throws a SystemError; EBUSY = somebody has it open. */
export function openTap(device: string, options: TapOptions = {}): number {
  const c = libc();
  const fd = check(c.open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC, 0), "open /dev/net/tun");
  const request = new Uint8Array(IFREQ_BYTES);
  request.set(new TextEncoder().encode(device).subarray(0, IFNAMSIZ - 1));
  const flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (options.multiQueue ? IFF_MULTI_QUEUE : 0);
  new DataView(request.buffer).setUint16(IFNAMSIZ, flags, true);
  if (c.ioctl(fd, TUNSETIFF, request) < 0) {
    const error = errno();
    c.close(fd);
    throw new SystemError(`make the tap ${device}`, error);
  }
  return fd;
}

/** Let GSO frames and unfinished checksums through to the descriptor. */
export function takeOffloads(fd: number): void {
  const c = libc();
  if (c.ioctlValue(fd, TUNSETOFFLOAD, TUN_F_TCP | TUN_F_USO) < 0)
    check(c.ioctlValue(fd, TUNSETOFFLOAD, TUN_F_TCP), "offloads of a tap");
}

export interface PersistentTap extends TapOptions {
  /** Numeric user and group that may open it without being root. */
  readonly user?: number;
  readonly group?: number;
}

/** Make a tap that stays when its descriptor is closed, for a VM to open. */
export function makeTap(device: string, options: PersistentTap): void {
  const c = libc();
  const fd = openTap(device, options);
  try {
    if (options.user !== undefined) check(c.ioctlValue(fd, TUNSETOWNER, options.user), `user of ${device}`);
    if (options.group !== undefined) check(c.ioctlValue(fd, TUNSETGROUP, options.group), `group of ${device}`);
    check(c.ioctlValue(fd, TUNSETPERSIST, 1), `keep ${device}`);
  } finally {
    c.close(fd);
  }
}

/** Remove a tap made by makeTap. False: a VM has it open, and it stays. */
export function removeTap(device: string, options: TapOptions): boolean {
  let fd: number;
  try {
    fd = openTap(device, options);
  } catch (error) {
    if (error instanceof SystemError && error.errno === EBUSY) return false;
    throw error;
  }
  libc().ioctlValue(fd, TUNSETPERSIST, 0);
  libc().close(fd);
  return true;
}
