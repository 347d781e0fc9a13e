/**
 * BPF objects through libbpf.so.1: load a compiled file, map its arrays into this process, run its programs by hand.
 * An array map with BPF_F_MMAPABLE is plain memory here: typed arrays and Atomics on one side, the program's loads and
 * atomics on the other, no system call between them.
 */
import { mapMemory } from "./bpf-maps.ts";
import { check } from "./libc.ts";
import { allocate } from "./memory.ts";
import { loadLibrary } from "./native.ts";

type Handle = number | bigint;

interface Libbpf {
  open(path: string): Handle;
  load(object: Handle): number;
  close(object: Handle): void;
  findMap(object: Handle, name: string): number;
  mapOf(object: Handle, name: string): Handle;
  setEntries(map: Handle, entries: number): number;
  nextMap(object: Handle, map: Handle): Handle;
  mapName(map: Handle): string;
  setPinPath(map: Handle, path: string): number;
  findProgram(object: Handle, name: string): Handle;
  programFd(program: Handle): number;
  testRun(fd: number, options: Uint8Array): number;
  syscall(number: number, command: number, flags: number, cpu: number): number;
  syscallLater(number: number, command: number, flags: number, cpu: number): Promise<number>;
}

let functions: Libbpf | undefined;

function libbpf(): Libbpf {
  if (functions) return functions;
  const { func } = loadLibrary("libbpf.so.1", "libbpf1");
  const syscall = "int64_t syscall(int64_t, int64_t, int64_t, int64_t)";
  functions = {
    open: func("uintptr_t bpf_object__open(const char *)"),
    load: func("int bpf_object__load(uintptr_t)"),
    close: func("void bpf_object__close(uintptr_t)"),
    findMap: func("int bpf_object__find_map_fd_by_name(uintptr_t, const char *)"),
    findProgram: func("uintptr_t bpf_object__find_program_by_name(uintptr_t, const char *)"),
    programFd: func("int bpf_program__fd(uintptr_t)"),
    testRun: func("int bpf_prog_test_run_opts(int, void *)"),
    mapOf: func("uintptr_t bpf_object__find_map_by_name(uintptr_t, const char *)"),
    setEntries: func("int bpf_map__set_max_entries(uintptr_t, uint32_t)"),
    nextMap: func("uintptr_t bpf_object__next_map(uintptr_t, uintptr_t)"),
    mapName: func("const char *bpf_map__name(uintptr_t)") as unknown as Libbpf["mapName"],
    setPinPath: func("int bpf_map__set_pin_path(uintptr_t, const char *)"),
    syscall: loadLibrary("libc.so.6", "libc6").func(syscall),
    syscallLater: loadLibrary("libc.so.6", "libc6").later(syscall) as Libbpf["syscallLater"],
  };
  return functions;
}

export interface BpfObject {
  /** Descriptor of a map. Throws where the object has none of this name. */
  map(name: string): number;
  /** Descriptor of a program; may be used in every thread of the process. */
  program(name: string): number;
  /** Maps and programs end with their last user: a descriptor, a mapping, an attachment, a pin. */
  close(): void;
}

/**
 * Load a compiled object file into the kernel, maps named in `entries` with so many elements. With `folder`, a folder of the
 * BPF file system, each map has its name there: one that is there already is used, and it must have the same shape.
 * Throws with the cause; libbpf writes the verifier's words to stderr.
 */
export function loadObject(path: string, entries: Readonly<Record<string, number>> = {}, folder?: string): BpfObject {
  const lib = libbpf();
  const object = lib.open(path);
  if (!object) check(-1, `${path}: libbpf cannot read it`);
  try {
    for (const [name, count] of Object.entries(entries))
      check(lib.setEntries(lib.mapOf(object, name), count), `${path}: ${count} elements for map ${name}`);
    if (folder !== undefined)
      for (let map = lib.nextMap(object, 0); map; map = lib.nextMap(object, map)) {
        const name = lib.mapName(map);
        // The compiler's own have dots.
        if (!name.includes(".")) check(lib.setPinPath(map, `${folder}/${name}`), `${path}: pin map ${name}`);
      }
    check(lib.load(object), `${path}: the kernel does not accept it`);
  } catch (error) {
    lib.close(object);
    throw error;
  }
  const named = (what: string, name: string, fd: number): number => {
    if (fd < 0) throw new Error(`${path} has no ${what} ${name}`);
    return fd;
  };
  return {
    map: (name) => named("map", name, lib.findMap(object, name)),
    program: (name) => {
      const program = lib.findProgram(object, name);
      return named("program", name, program ? lib.programFd(program) : -1);
    },
    close: () => lib.close(object),
  };
}

/**
 * The values of a mapped array (BPF_F_MMAPABLE): `bytes` of them, one after the other, each padded to 8. It stays mapped
 * for the life of the process: touching an ArrayBuffer over unmapped memory would end it.
 */
export function mapArray(fd: number, bytes: number): ArrayBuffer {
  return mapMemory(fd, bytes).buffer;
}

// struct bpf_test_run_opts, bpf/bpf.h of libbpf 1.x: byte offsets.
const OPTS_BYTES = 80;
const OPTS_DATA_IN = 8;
const OPTS_DATA_SIZE_IN = 24;
const OPTS_DATA_SIZE_OUT = 28;
const OPTS_RETVAL = 56;
const OPTS_REPEAT = 60;
const OPTS_DURATION = 64;

/** The least that a tc program is given to run on; and the most, so that it stays within the kernel's page. */
const FRAME_BYTES = 64;
const MAX_FRAME_BYTES = 3072;

/**
 * Run a tc program `repeat` times on an empty frame, in this thread, on the CPU it stands on. The kernel may leave the
 * CPU between two runs, never within one. Returns a function, so that what it needs is made once.
 */
export function testRunner(fd: number): (repeat: number) => { retval: number; nsPerRun: number } {
  const frame = allocate(FRAME_BYTES);
  const options = new Uint8Array(OPTS_BYTES);
  const view = new DataView(options.buffer);
  view.setBigUint64(0, BigInt(OPTS_BYTES), true);
  view.setBigUint64(OPTS_DATA_IN, BigInt(frame.address), true);
  view.setUint32(OPTS_DATA_SIZE_IN, FRAME_BYTES, true);
  return (repeat) => {
    view.setInt32(OPTS_REPEAT, repeat, true);
    check(libbpf().testRun(fd, options), "running a BPF program");
    return { retval: view.getUint32(OPTS_RETVAL, true), nsPerRun: view.getUint32(OPTS_DURATION, true) };
  };
}

const SYS_MEMBARRIER = process.arch === "arm64" ? 283 : 324;
const MEMBARRIER_CMD_GLOBAL = 1;

/** Run a tc program once on each frame that it is given (14 … 3072 bytes). Returns a function, as `testRunner` does. */
export function frameRunner(fd: number): (frame: Uint8Array) => number {
  const memory = allocate(MAX_FRAME_BYTES);
  const options = new Uint8Array(OPTS_BYTES);
  const view = new DataView(options.buffer);
  view.setBigUint64(0, BigInt(OPTS_BYTES), true);
  view.setBigUint64(OPTS_DATA_IN, BigInt(memory.address), true);
  return (frame) => {
    memory.u8.set(frame);
    view.setUint32(OPTS_DATA_SIZE_IN, frame.length, true);
    // The kernel wrote there how long the last frame was, and would take it for our room.
    view.setUint32(OPTS_DATA_SIZE_OUT, 0, true);
    check(libbpf().testRun(fd, options), "running a BPF program");
    return view.getUint32(OPTS_RETVAL, true);
  };
}

/**
 * Wait for a grace period: when it returns, every BPF program that ran when it was called has ended (membarrier(2),
 * MEMBARRIER_CMD_GLOBAL is synchronize_rcu). Takes milliseconds and blocks the thread: not for the control thread.
 */
export function gracePeriod(): void {
  check(libbpf().syscall(SYS_MEMBARRIER, MEMBARRIER_CMD_GLOBAL, 0, 0), "membarrier");
}

/** The same without blocking the caller: the wait is on a thread of the pool. */
export async function gracePeriodLater(): Promise<void> {
  check(await libbpf().syscallLater(SYS_MEMBARRIER, MEMBARRIER_CMD_GLOBAL, 0, 0), "membarrier");
}
