/**
 * Putting a tc program on a device's way in or out. From Linux 6.6 on by tcx: a link of the kernel's that ends with its last
 * descriptor, so nothing is left behind when the process ends, however it ends; or that has a name in the BPF file system
 * and stays. libbpf 1.1 knows no tcx: the system call is made here (include/uapi/linux/bpf.h, union bpf_attr). Before that
 * by a filter of clsact, which stays when the process is killed. WEIR_TC_HOOK=clsact in the environment takes that way
 * everywhere.
 */
import { linkDevice, openPin, pin, unpin } from "./bpf-pins.ts";
import { check, errno, errnoName, libc, SystemError } from "./libc.ts";
import { type CFunction, loadLibrary } from "./native.ts";
import { addProgramFilter } from "./tc.ts";

const SYS_BPF = process.arch === "arm64" ? 280 : 321;
const BPF_LINK_CREATE = 28;
const BPF_LINK_UPDATE = 29;
const BPF_TCX_INGRESS = 46;
const BPF_TCX_EGRESS = 47;
const ATTR_BYTES = 64;
/** struct link_create: program u32, ifindex u32, attach type u32, flags u32. */
const ATTR_PROGRAM = 0;
const ATTR_IFINDEX = 4;
const ATTR_TYPE = 8;

let syscall: CFunction | undefined;

export interface Attachment {
  detach(): void;
  /** The process lets go of it; one with a name stays. */
  letGo(): void;
}

function bpf(command: number, attributes: Uint8Array): number {
  syscall ??= loadLibrary("libc.so.6", "libc6").func("int64_t syscall(int64_t, int64_t, void *, int64_t)");
  return syscall(SYS_BPF, command, attributes, ATTR_BYTES);
}

/**
 * The link of this name, if it stands on this device: the program takes the place of the one it has, between two frames. A
 * link of another device, or of one that is gone, loses its name.
 */
function takeOver(path: string, program: number, ifindex: number, device: string): number | undefined {
  const fd = openPin(path);
  if (fd === undefined) return undefined;
  if (linkDevice(fd) !== ifindex) {
    unpin(path);
    libc().close(fd);
    return undefined;
  }
  // struct link_update: link u32, program u32, flags u32, old program u32
  const attributes = new Uint8Array(ATTR_BYTES);
  new Uint32Array(attributes.buffer).set([fd, program]);
  if (bpf(BPF_LINK_UPDATE, attributes) >= 0) return fd;
  const error = errno();
  libc().close(fd);
  throw new SystemError(`replace the program on ${device}`, error);
}

/**
 * Attach a program to the device's way in or out; with `path`, under that name in the BPF file system, where an earlier
 * process may have left a link. Throws a SystemError.
 */
export function attachProgram(
  program: number,
  ifindex: number,
  device: string,
  direction: "ingress" | "egress",
  path?: string,
): Attachment {
  const byFilter = (): Attachment => ({
    detach: addProgramFilter(ifindex, device, direction, program),
    letGo: () => {},
  });
  if (process.env["WEIR_TC_HOOK"] === "clsact") return byFilter();
  const held = path === undefined ? undefined : takeOver(path, program, ifindex, device);
  if (held !== undefined) return attachment(held, device, path);
  const attributes = new Uint8Array(ATTR_BYTES);
  const view = new DataView(attributes.buffer);
  view.setUint32(ATTR_PROGRAM, program, true);
  view.setUint32(ATTR_IFINDEX, ifindex, true);
  view.setUint32(ATTR_TYPE, direction === "ingress" ? BPF_TCX_INGRESS : BPF_TCX_EGRESS, true);
  const fd = bpf(BPF_LINK_CREATE, attributes);
  if (fd < 0 && errnoName(errno()) === "EINVAL") return byFilter();
  if (fd < 0) throw new SystemError(`attach to ${device}`, errno());
  try {
    if (path !== undefined) pin(fd, path);
  } catch (error) {
    libc().close(fd);
    throw error;
  }
  return attachment(fd, device, path);
}

function attachment(fd: number, device: string, path: string | undefined): Attachment {
  const letGo = (): void => void check(libc().close(fd), `detach from ${device}`);
  return {
    letGo,
    detach() {
      if (path !== undefined) unpin(path);
      letGo();
    },
  };
}
