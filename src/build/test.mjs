// npm test [-- words]: set up, build, lint, and run every test; with words, only the test files whose path holds one.
//
// Unit tests run side by side; what is below test/system and test/bench needs the machine for itself (namespaces,
// collectors, cores) and runs one file after the other. A test that cannot run here says why (test/helpers/needs.ts);
// with CI=true that is a failure.
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
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

/** Run compiled test files with node:test; resolves with its closing counts. */
function nodeTest(files, concurrency) {
  const compiled = files.map((file) => join(root, "dist/js", file.replace(/\.ts$/, ".js")));
  const args = [
    "--enable-source-maps",
    "--expose-gc",
    "--test",
    `--test-concurrency=${concurrency}`,
    "--test-reporter=spec",
  ];
  const child = spawn(process.execPath, [...args, ...compiled], { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
  const counts = {};
  let rest = "";
  child.stdout.on("data", (chunk) => {
    process.stdout.write(chunk);
    const lines = (rest + chunk).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const [, key, value] = /^ℹ (pass|fail|skipped) (\d+)$/.exec(line) ?? [];
      if (key) counts[key] = Number(value);
    }
  });
  const count = (key) => counts[key] ?? 0;
  return new Promise((resolve) => {
    child.on("close", (status) =>
      resolve({ status, pass: count("pass"), fail: count("fail"), skipped: count("skipped") }),
    );
  });
}

const runs = [];
for (const [files, concurrency] of [
  [together, 2],
  [alone, 1],
])
  if (files.length) runs.push(await nodeTest(files, concurrency));

const sum = (key) => runs.reduce((total, one) => total + one[key], 0);
const failed = runs.some((one) => one.status !== 0) || sum("pass") === 0;
console.log(`\n${sum("pass")} passed, ${failed ? Math.max(1, sum("fail")) : 0} failed, ${sum("skipped")} skipped`);
process.exit(failed ? 1 : 0);
