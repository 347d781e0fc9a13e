// TypeScript → dist/. `tsc` checks and writes dist/js (what the tests run, file by file); esbuild bundles the command
// and the datapaths' threads from it into dist/weir.js, dist/worker.js and dist/watch.js (what users run: one file starts
// faster). clang, where it is there, makes dist/weir.bpf.o.
//
//   node src/build/build.mjs [--if-stale] [--no-check]      exit 1 on a type error, 0 when dist/ is usable
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { installPackages, readJson, requireNode, root, start } from "./setup.mjs";
import { writeRegistry } from "./registry.mjs";
import { buildPrograms } from "./bpf.mjs";
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

function isStale() {
  const stamp = join(root, "dist", ".built");
  if (!existsSync(stamp)) return true;
  const built = statSync(stamp).mtimeMs;
  return SOURCES.some((source) => newest(join(root, source)) > built);
}

/** Types of what we offer to others, `edgeweir/sflow-decoder`. */
function declareDecoder() {
  const options = "--declaration --emitDeclarationOnly --strict --target es2023 --module nodenext --skipLibCheck";
  const paths = ["exporters/sflow-decoder/decode.ts", "--ignoreConfig", "--rewriteRelativeImportExtensions"];
  const tsc = "node_modules/typescript/bin/tsc";
  return start("node", [tsc, ...paths, ...options.split(" "), "--outDir", "dist/sflow-decoder"]);
}

const DECODER = "dist/js/exporters/sflow-decoder/decode.js";
const BUNDLE = {
  absWorkingDir: root,
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20",
  logLevel: "warning",
};

/** The command and the datapaths' threads from dist/js into a folder; with `plugins` it is another one (a test's). */
export async function bundle(outdir, plugins = []) {
  const esbuild = await import("esbuild");
  await esbuild.build({
    ...BUNDLE,
    entryPoints: {
      weir: "dist/js/src/main.js",
      worker: "dist/js/src/datapath/userspace/worker.js",
      watch: "dist/js/src/datapath/kernel/watch.js",
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

export async function build({ ifStale = false, check = true } = {}) {
  requireNode();
  installPackages();
  if (ifStale && !isStale()) return;
  rmSync(join(root, "dist"), { recursive: true, force: true });
  mkdirSync(join(root, "dist"), { recursive: true });
  writeRegistry();
  await writeSchemas();
  // Beside each other: the first start waits for them.
  const others = [start("node", ["node_modules/typescript/bin/tsc", "-p", "."]), buildPage(), declareDecoder()];
  buildPrograms();
  const [status, page] = await Promise.all(others);
  const isTyped = status === 0 && page;
  if (!isTyped && check) process.exit(1);
  const { build: esbuild } = await import("esbuild");
  // A package of ours: its own bundle in its own folder, where node_modules links to, and ours to offer.
  for (const outfile of ["exporters/sflow-decoder/dist/decode.js", "dist/sflow-decoder.js"])
    await esbuild({ ...BUNDLE, entryPoints: [DECODER], outfile });
  await bundle("dist");
  if (isTyped) writeFileSync(join(root, "dist", ".built"), "");
}

if (process.argv[1] === join(root, "src/build/build.mjs")) {
  await build({ ifStale: process.argv.includes("--if-stale"), check: !process.argv.includes("--no-check") });
}
