// npm run bench [-- words]: build, and measure ourselves beside the peers (test/bench/README.md). Words choose parts.
import { build } from "./build.mjs";
import { run } from "./setup.mjs";

await build({ ifStale: true });
const done = run(process.execPath, ["--enable-source-maps", "dist/js/test/bench/run.js", ...process.argv.slice(2)]);
process.exit(done.status ?? 1);
