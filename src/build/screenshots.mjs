// npm run screenshots [-- FOLDER [words]]: the live view's pictures, made by Chromium from a scripted feed, to be looked at.
import { build } from "./build.mjs";
import { run } from "./setup.mjs";

await build({ ifStale: true });
process.exit(run(process.execPath, ["dist/js/test/helpers/screenshots.js", ...process.argv.slice(2)]).status ?? 1);
