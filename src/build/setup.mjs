// Everything `npm start` and `npm test` do before the first line of TypeScript runs: the Node version, the npm
// packages. Plain JavaScript on purpose: it runs on a clone where nothing is installed.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { spawn, spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** One sentence and exit 2 on a Node that cannot run us, before anything is installed. */
export function requireNode() {
  const major = Number(process.versions.node.split(".")[0]);
  if (major >= 20) return;
  console.error(`Weir needs Node.js 20 or newer; this is ${process.versions.node}.`);
  process.exit(2);
}

/** Install npm packages where what is installed is not what package-lock.json says. Exits with npm's code on failure. */
export function installPackages() {
  const lock = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
  const stamp = join(root, "node_modules", ".weir-installed");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === lock) return;
  console.error("weir: installing npm packages ...");
  const done = run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
  if (done.status !== 0) {
    console.error("weir: npm ci failed; see above.");
    process.exit(done.status ?? 1);
  }
  writeFileSync(stamp, lock);
}

/** Run a program in the project's root with our terminal. */
export function run(command, args, options = {}) {
  return spawnSync(command, args, { cwd: root, stdio: "inherit", ...options });
}

/** The same beside others; resolves with its exit status. */
export function start(command, args) {
  const child = spawn(command, args, { cwd: root, stdio: "inherit" });
  return new Promise((resolve) => child.on("close", resolve));
}

export function readJson(path) {
  return JSON.parse(readFileSync(join(root, path), "utf8"));
}
