/**
 * Putting a tc program on a device's way in or out. From Linux 6.6 on by tcx: a link of the kernel's that ends with its last
 * descriptor, so nothing is left behind when the process ends, however it ends. libbpf 1.1 knows no tcx: the system call
 * is made here (include/uapi/linux/bpf.h, union bpf_attr). Before that by a filter of clsact, which stays when the process
 * is killed. WEIR_TC_HOOK=clsact in the environment takes that way everywhere.
 */
import { check, errno, errnoName, libc, SystemError } from "./libc.ts";
import { type CFunction, loadLibrary } from "./native.ts";
import { addProgramFilter } from "./tc.ts";

const SYS_BPF = process.arch === "arm64" ? 280 : 321;
const BPF_LINK_CREATE = 28;
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
}

/** Attach a program to the device's way in or out. Throws a SystemError. */
export function attachProgram(
  program: number,
  ifindex: number,
  device: string,
  direction: "ingress" | "egress",
): Attachment {
  const byFilter = (): Attachment => ({ detach: addProgramFilter(ifindex, device, direction, program) });
  if (process.env["WEIR_TC_HOOK"] === "clsact") return byFilter();
  syscall ??= loadLibrary("libc.so.6", "libc6").func("int64_t syscall(int64_t, int64_t, void *, int64_t)");
  const attributes = new Uint8Array(ATTR_BYTES);
  const view = new DataView(attributes.buffer);
  view.setUint32(ATTR_PROGRAM, program, true);
  view.setUint32(ATTR_IFINDEX, ifindex, true);
  view.setUint32(ATTR_TYPE, direction === "ingress" ? BPF_TCX_INGRESS : BPF_TCX_EGRESS, true);
  const fd = syscall(SYS_BPF, BPF_LINK_CREATE, attributes, ATTR_BYTES);
  if (fd < 0 && errnoName(errno()) === "EINVAL") return byFilter();
  if (fd < 0) throw new SystemError(`attach to ${device}`, errno());
  return { detach: () => void check(libc().close(fd), `detach from ${device}`) };
}
