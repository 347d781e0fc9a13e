// npm test [-- words]: set up, build, lint, and run every test; with words, only the test files whose path holds one.
//
// Unit tests run side by side; what is below test/system and test/bench needs the machine for itself (namespaces,
// collectors, cores) and runs one file after the other. A test that cannot run here says why (test/helpers/needs.ts);
// with CI=true that is a failure.
import { readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { build } from "./build.mjs";
import { installTools } from "./tools.mjs";
import { root, run } from "./setup.mjs";

function testFiles(folder) {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === "node_modules" ? [] : testFiles(path);
    return entry.name.endsWith(".test.ts") ? [path] : [];
  });
}

const words = process.argv.slice(2);
if (!process.env.WEIR_SKIP_TOOLS) installTools();
await build({ ifStale: true });
const all = ["src", "exporters", "dashboards", "test"].flatMap(testFiles);
const chosen = words.length ? all.filter((file) => words.some((word) => file.includes(word))) : all;
const alone = chosen.filter((file) => file.startsWith("test/system"));
const together = chosen.filter((file) => !alone.includes(file));

if (!words.length) {
  const lint = run("npm", ["run", "--silent", "lint"]);
  if (lint.status !== 0) process.exit(1);
}

const totals = { pass: 0, fail: 0, skipped: 0 };
let failed = false;
for (const [files, concurrency] of [
  [together, 2],
  [alone, 1],
]) {
  if (!files.length) continue;
  const compiled = files.map((file) => relative(root, join("dist/js", file)).replace(/\.ts$/, ".js"));
  const args = [
    "--enable-source-maps",
    "--expose-gc",
    "--test",
    `--test-concurrency=${concurrency}`,
    "--test-reporter=spec",
    "--test-reporter-destination=stdout",
  ];
  const { spawn } = await import("node:child_process");
  const code = await new Promise((resolve) => {
    const child = spawn(process.execPath, [...args, ...compiled.map((file) => join(root, file))], {
      cwd: root,
      stdio: ["ignore", "pipe", "inherit"],
    });
    let tail = "";
    child.stdout.on("data", (chunk) => {
      process.stdout.write(chunk);
      tail = (tail + chunk).slice(-4000);
    });
    child.on("close", (status) => {
      for (const key of Object.keys(totals)) totals[key] += Number(new RegExp(`ℹ ${key} (\\d+)`).exec(tail)?.[1] ?? 0);
      resolve(status);
    });
  });
  if (code !== 0) failed = true;
}
if (!totals.pass && !failed) (console.error("npm test: no test ran"), (failed = true));
console.log(`\n${totals.pass} passed, ${totals.fail} failed, ${totals.skipped} skipped`);
process.exit(failed || totals.fail ? 1 : 0);
