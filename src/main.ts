#!/usr/bin/env node
/** The command `weir`. */
import { exit, processDeps } from "./cli/process.ts";
import { main } from "./cli/program.ts";
import { createEngine } from "./run/engine.ts";
import { VERSION } from "./run/version.ts";

const engine = createEngine({
  env: process.env,
  version: VERSION,
  uid: process.getuid?.() ?? 0,
  isTerminal: process.stdin.isTTY === true && process.stderr.isTTY === true,
});
exit(await main(process.argv.slice(2), processDeps({ engine, version: VERSION, now: () => Date.now() })));
