/**
 * The BPF file system: maps, programs and links that have a name there outlive the process. A folder holds nothing but
 * such names and folders; a name with a dot is the kernel's own and refused.
 */
import { mkdirSync, readdirSync, rmdirSync, statfsSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { check, errno, errnoName, libc, SystemError } from "./libc.ts";
import { type CFunction, loadLibrary } from "./native.ts";

export const BPF_FS = "/sys/fs/bpf";
/** include/uapi/linux/magic.h */
const BPF_FS_MAGIC = 0xcafe4a11;
const MS_NOSUID_NODEV_NOEXEC = 2 | 4 | 8;

interface PinCalls {
  pin: CFunction;
  get: CFunction;
  info: CFunction;
}

let functions: PinCalls | undefined;

function calls(): PinCalls {
  if (functions) return functions;
  const { func } = loadLibrary("libbpf.so.1", "libbpf1");
  functions = {
    pin: func("int bpf_obj_pin(int, const char *)"),
    get: func("int bpf_obj_get(const char *)"),
    info: func("int bpf_obj_get_info_by_fd(int, void *, void *)"),
  };
  return functions;
}

export function isBpfFs(): boolean {
  try {
    return statfsSync(BPF_FS).type === BPF_FS_MAGIC;
  } catch {
    return false;
  }
}

/** systemd mounts it; where nobody did (a container), it is done here. Throws an Error that names the fix. */
export function mountBpfFs(): void {
  if (isBpfFs()) return;
  const mount = loadLibrary("libc.so.6", "libc6").func(
    "int mount(const char *, const char *, const char *, uint64_t, void *)",
  );
  if (mount("bpf", BPF_FS, "bpf", MS_NOSUID_NODEV_NOEXEC, null) === 0) return;
  throw new Error(
    `${BPF_FS} is no BPF file system, and mounting it failed (${errnoName(errno())}): mount -t bpf bpf ${BPF_FS}`,
  );
}

/** Give a descriptor's map, program or link a name. */
export function pin(fd: number, path: string): void {
  check(calls().pin(fd, path), `pin ${path}`);
}

const ENOENT = 2;

/** A descriptor of what has this name; undefined: nothing has. */
export function openPin(path: string): number | undefined {
  const fd = calls().get(path);
  if (fd >= 0) return fd;
  if (errno() === ENOENT) return undefined;
  throw new SystemError(`open ${path}`, errno());
}

/** Take the name away; what nobody else holds ends. One that is not there is fine. */
export function unpin(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

export function makePinFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
}

/** Names in a folder; none where it is not there. */
export function pinsIn(path: string): string[] {
  try {
    return readdirSync(path).toSorted();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** Take a folder and everything in it away. */
export function removePins(path: string): void {
  for (const name of pinsIn(path)) {
    const inside = join(path, name);
    try {
      unlinkSync(inside);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EISDIR" || code === "EPERM") removePins(inside);
      else if (code !== "ENOENT") throw error;
    }
  }
  removePinFolder(path);
}

/** Take an empty folder away; one with something in it stays. */
export function removePinFolder(path: string): void {
  try {
    rmdirSync(path);
  } catch (error) {
    if (!["ENOENT", "ENOTEMPTY"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}

const INFO_BYTES = 128;

function infoOf(fd: number, what: string): DataView {
  const bytes = new Uint8Array(INFO_BYTES);
  check(calls().info(fd, bytes, Uint32Array.of(INFO_BYTES)), what);
  return new DataView(bytes.buffer);
}

/** ifIndex of the device that a tcx link stands on (struct bpf_link_info); 0: the device is gone. */
export function linkDevice(fd: number): number {
  return infoOf(fd, "look at a BPF link").getUint32(16, true);
}

export interface MapShape {
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly entries: number;
}

/** struct bpf_map_info */
export function mapShape(fd: number): MapShape {
  const view = infoOf(fd, "look at a BPF map");
  const at = (offset: number): number => view.getUint32(offset, true);
  return { type: at(0), keySize: at(8), valueSize: at(12), entries: at(16) };
}

export function closeFd(fd: number): void {
  libc().close(fd);
}
