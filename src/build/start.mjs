// npm start [-- arguments of weir]: set up, build, and run the demo.
import { join } from "node:path";
import { spawn } from "node:child_process";
import { build } from "./build.mjs";
import { root } from "./setup.mjs";

await build({ ifStale: true, onlyToRun: true });
const args = process.argv.slice(2);
const child = spawn(process.execPath, [join(root, "dist", "weir.js"), ...(args.length ? args : ["demo"])], {
  stdio: "inherit",
});
// The terminal sends Ctrl-C to both; weir ends by itself and we follow it.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"])
  process.on(signal, () => signal !== "SIGINT" && child.kill(signal));
child.on("exit", (code, signal) => process.exit(signal ? 1 : (code ?? 1)));
