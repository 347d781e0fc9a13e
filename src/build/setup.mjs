// Everything `npm start` and `npm test` do before the first line of TypeScript runs: the Node version, the npm
// packages. Plain JavaScript on purpose: it runs on a clone where nothing is installed.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { spawn, spawnSync } from "node:child_process";
import { setPriority } from "node:os";
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

/**
 * Install npm packages where what is installed is not what package-lock.json says; `onlyToRun`: those of the command and
 * of its build (src/build/package.json), without tests, linters and browsers. Exits with npm's code on failure.
 */
export function installPackages({ onlyToRun = false } = {}) {
  const lock = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
  const stamp = join(root, "node_modules", ".weir-installed");
  const there = existsSync(stamp) ? readFileSync(stamp, "utf8") : "";
  const some = `${lock} to run`;
  if (there === lock || (onlyToRun && there === some)) return;
  console.error("weir: installing npm packages ...");
  const chosen = onlyToRun
    ? ["--omit=dev", "--workspace=src/build", "--include-workspace-root", "--ignore-scripts"]
    : [];
  const done = run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error", ...chosen]);
  if (done.status !== 0) {
    console.error("weir: npm ci failed; see above.");
    process.exit(done.status ?? 1);
  }
  writeFileSync(stamp, onlyToRun ? some : lock);
  if (onlyToRun) compileOptional();
}

/** What only ports of type capture need: compiled beside what follows, and a first look does not wait for it. */
function compileOptional() {
  const child = spawn("npm", ["rebuild", "pcap"], { cwd: root, stdio: "ignore" });
  child.on("error", () => {});
  if (child.pid !== undefined) setPriority(child.pid, 19);
  child.unref();
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
