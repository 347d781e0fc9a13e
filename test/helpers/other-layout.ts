/**
 * The command once more with another layout of the flow slot: a line of 64 bytes stands before the key, and all that the
 * ledger says in its rows. What a later version may do to the maps, done to both sides: the header that the programs are
 * compiled with, the numbers that the bundle has.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { projectRoot } from "./captures.ts";

const MORE_BYTES = 64;
const KEY_AT = 16;

/** The command's path; undefined: nothing to compile programs with. */
export async function buildOtherLayout(): Promise<string | undefined> {
  const out = join(projectRoot, "dist/other-layout");
  mkdirSync(out, { recursive: true });
  const header = readFileSync(join(projectRoot, "src/shm/flow_slot.h"), "utf8")
    .replace("\tstruct weir_key key;\n", `\t__u8 other[${MORE_BYTES}];\n\tstruct weir_key key;\n`)
    .replace("== 192", `== ${192 + MORE_BYTES}`);
  writeFileSync(join(out, "flow_slot.h"), header);
  const load = (path: string): Promise<any> => import(pathToFileURL(join(projectRoot, path)).href);
  const { buildPrograms } = await load("src/build/bpf.mjs");
  if (!buildPrograms({ headers: [out], output: join(out, "weir.bpf.o") })) return undefined;
  const { bundle } = await load("src/build/build.mjs");
  await bundle(out, [{ name: "other layout", setup: changeSlots }]);
  return join(out, "weir.js");
}

function changeSlots(build: any): void {
  build.onLoad({ filter: /\/shm\/slots\.ts$/ }, ({ path }: { path: string }) => ({
    loader: "ts",
    contents: readFileSync(path, "utf8")
      .replace("SLOT_BYTES = 192", `SLOT_BYTES = ${192 + MORE_BYTES}`)
      .replaceAll(
        /(export const SLOT_(?!BYTES = |WORDS|VERSION)\w+ = )(\d+);/g,
        (_all, start: string, at: string) => `${start}${Number(at) < KEY_AT ? at : Number(at) + MORE_BYTES / 4};`,
      ),
  }));
  build.onLoad({ filter: /\/flow\/ledger\.ts$/ }, ({ path }: { path: string }) => ({
    loader: "ts",
    contents: readFileSync(path, "utf8").replace(/LEDGER_COUNTS = \d+/, "LEDGER_COUNTS = 5"),
  }));
}
