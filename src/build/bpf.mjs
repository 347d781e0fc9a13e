// The kernel datapath's programs, C → dist/weir.bpf.o, where clang and libbpf's headers are there. The object is shipped
// in the package, so that users need neither; without it the kernel datapath says what is missing.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { spawnSync } from "node:child_process";
import { root } from "./setup.mjs";

const HEADER = "/usr/include/bpf/bpf_helpers.h";

/**
 * Exits where the programs do not compile. Returns false where there is nothing to compile them with. `headers`: a folder
 * looked into before ours, and `output` for what comes of it (a test's).
 */
export function buildPrograms({ headers = [], output = join(root, "dist/weir.bpf.o") } = {}) {
  const clang = ["clang", "clang-14"].find((name) => spawnSync(name, ["--version"]).status === 0);
  if (clang === undefined || !existsSync(HEADER)) return false;
  const machine = `/usr/include/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`;
  const folder = join(root, "src/datapath/kernel/bpf");
  const include = [...headers.map((one) => `-I${one}`), `-I${folder}`, `-I${join(root, "src/shm")}`, `-I${machine}`];
  const flags = ["-O2", "-g", "-Wall", "-Werror", "-target", "bpf", "-mcpu=v3"];
  const made = spawnSync(clang, [...flags, ...include, "-c", join(folder, "weir.bpf.c"), "-o", output], {
    stdio: "inherit",
  });
  if (made.status !== 0) process.exit(1);
  return true;
}

if (process.argv[1] === join(root, "src/build/bpf.mjs")) buildPrograms();
