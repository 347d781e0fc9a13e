/**
 * koffi, loaded when first needed: the product starts, replays captures and runs its demo without it. Everything that
 * calls into C stands in this folder.
 */
import { createRequire } from "node:module";
import { endianness } from "node:os";
import { promisify } from "node:util";

type Koffi = typeof import("koffi");
/** A C function taking and returning numbers and typed arrays. */
export type CFunction = (...args: unknown[]) => number;

/** The same call on a thread of libuv's pool, for calls that block: resolves with what it returned. */
export type LaterFunction = (...args: unknown[]) => Promise<number>;

export interface NativeLibrary {
  /** Declare one function by its C prototype; `void *` takes typed arrays, `uintptr_t` an address as a number. */
  func(prototype: string): CFunction;
  later(prototype: string): LaterFunction;
}

let koffi: Koffi | undefined;

/** Throws an Error that names what is missing and how to get it. */
export function loadNative(): Koffi {
  if (koffi) return koffi;
  const { arch, platform } = process;
  if (platform !== "linux" || (arch !== "x64" && arch !== "arm64") || endianness() !== "LE")
    throw new Error(`ports on network devices need Linux on x86-64 or arm64, this is ${platform} on ${arch}`);
  try {
    koffi = createRequire(import.meta.url)("koffi") as Koffi;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split("\n")[0] : String(cause);
    throw new Error(
      `the package koffi, which calls the C library, cannot be loaded: run "npm install" in Weir's folder (${why})`,
      { cause },
    );
  }
  return koffi;
}

/** Open a shared library, such as libbpf.so.1. Throws with the Debian package to install. */
export function loadLibrary(file: string, debianPackage: string): NativeLibrary {
  const native = loadNative();
  try {
    const library = native.load(file);
    return {
      func: (prototype) => library.func(prototype) as unknown as CFunction,
      later: (prototype) => promisify(library.func(prototype).async) as unknown as LaterFunction,
    };
  } catch (cause) {
    throw new Error(`${file} cannot be loaded: apt-get install ${debianPackage}`, { cause });
  }
}

/** An ArrayBuffer over `bytes` of this process's memory at `address`. It must stay mapped as long as the buffer lives. */
export function viewMemory(address: number, bytes: number): ArrayBuffer {
  return loadNative().view(BigInt(address), bytes);
}
