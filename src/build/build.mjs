// TypeScript → dist/. esbuild bundles the command and the datapaths' threads into dist/weir.js, dist/worker.js and
// dist/watch.js (what users run: one file starts faster), and the page; clang, where it is there, makes dist/weir.bpf.o.
// Beside that `tsc` checks, and writes dist/js (what the tests run, file by file).
//
//   node src/build/build.mjs [--if-stale] [--no-check]      exit 1 on a type error, 0 when dist/ is usable
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { installPackages, readJson, requireNode, root, start } from "./setup.mjs";
import { writeRegistry } from "./registry.mjs";
import { buildPage } from "./page.mjs";
import { writeSchemas } from "./schemas.mjs";

/**
 * Packages that stay what npm installed: native code, and what runs in threads of its own. The others are bundled: a
 * hundred small files (zod) take Node longer to find and link than a whole replay of a small capture.
 */
const EXTERNAL = ["koffi", "pcap", "pino", "ws", "influx"];

const SOURCES = ["src", "exporters", "dashboards", "test", "package.json", "tsconfig.json"];

/** Newest modification time below a path, in ms. */
function newest(path) {
  const info = statSync(path);
  if (!info.isDirectory()) return info.mtimeMs;
  let latest = info.mtimeMs;
  for (const name of readdirSync(path)) {
    if (name === "node_modules" || name === "golden" || name.startsWith(".")) continue;
    latest = Math.max(latest, newest(join(path, name)));
  }
  return latest;
}

/** What a stamp in dist/ says was made, from the sources as they are now. */
function isFresh(stamp) {
  const path = join(root, "dist", stamp);
  if (!existsSync(path)) return false;
  const made = statSync(path).mtimeMs;
  return SOURCES.every((source) => newest(join(root, source)) <= made);
}
const RUNNABLE = ".runnable";
const WHOLE = ".built";

const TSC = "node_modules/typescript/bin/tsc";
const checkTypes = (project) => start(process.execPath, [TSC, "-p", project]);

/** Types of what we offer to others, `edgeweir/sflow-decoder`. */
function declareDecoder() {
  const options = "--declaration --emitDeclarationOnly --strict --target es2023 --module nodenext --skipLibCheck";
  const paths = ["exporters/sflow-decoder/decode.ts", "--ignoreConfig", "--rewriteRelativeImportExtensions"];
  return start(process.execPath, [TSC, ...paths, ...options.split(" "), "--outDir", "dist/sflow-decoder"]);
}

const DECODER = "exporters/sflow-decoder/decode.ts";
const BUNDLE = {
  absWorkingDir: root,
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20",
  logLevel: "warning",
};

/** The command and the datapaths' threads into a folder; with `plugins` it is another one (a test's). */
export async function bundle(outdir, plugins = []) {
  const esbuild = await import("esbuild");
  await esbuild.build({
    ...BUNDLE,
    entryPoints: {
      weir: "src/main.ts",
      worker: "src/datapath/userspace/worker.ts",
      watch: "src/datapath/kernel/watch.ts",
    },
    outdir,
    splitting: true,
    chunkNames: "chunk-[hash]",
    minifySyntax: true,
    external: EXTERNAL,
    // What a bundled CommonJS package asks Node for.
    banner: {
      js: 'import { createRequire as requireFrom } from "node:module"; const require = requireFrom(import.meta.url);',
    },
    alias: { "sflow-decoder": `./${DECODER}` },
    define: { WEIR_VERSION: JSON.stringify(readJson("package.json").version) },
    plugins,
  });
}

/** `onlyToRun`: what `weir` itself is, and not whether its types are right nor what tests and `bench` run. */
export async function build({ ifStale = false, check = true, onlyToRun = false } = {}) {
  requireNode();
  installPackages({ onlyToRun });
  if (ifStale && (isFresh(WHOLE) || (onlyToRun && isFresh(RUNNABLE)))) return;
  rmSync(join(root, "dist"), { recursive: true, force: true });
  mkdirSync(join(root, "dist"), { recursive: true });
  writeRegistry();
  // Beside each other: a first start waits for them.
  const page = buildPage();
  const programs = start(process.execPath, ["src/build/bpf.mjs"]);
  await writeSchemas();
  const typed = onlyToRun ? undefined : [checkTypes("."), checkTypes("src/live/page"), declareDecoder()];
  const { build: esbuild } = await import("esbuild");
  // A package of ours: its own bundle in its own folder, where node_modules links to, and ours to offer.
  for (const outfile of ["exporters/sflow-decoder/dist/decode.js", "dist/sflow-decoder.js"])
    await esbuild({ ...BUNDLE, entryPoints: [DECODER], outfile });
  await bundle("dist");
  await page;
  if ((await programs) !== 0) process.exit(1);
  writeFileSync(join(root, "dist", RUNNABLE), "");
  if (typed === undefined) return;
  const isTyped = (await Promise.all(typed)).every((status) => status === 0);
  if (isTyped) writeFileSync(join(root, "dist", WHOLE), "");
  else if (check) process.exit(1);
}

if (process.argv[1] === join(root, "src/build/build.mjs")) {
  await build({ ifStale: process.argv.includes("--if-stale"), check: !process.argv.includes("--no-check") });
}
