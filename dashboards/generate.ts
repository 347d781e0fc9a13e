/** `npm run dashboards`: the boards as JSON, into dashboards/json. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { files } from "./all.ts";
import { problems } from "./kit/check.ts";

const folder = resolve("dashboards/json");
const all = files();
const wrong = problems(all.map(({ dashboard }) => dashboard));
if (wrong.length > 0) {
  console.error(wrong.join("\n"));
  process.exit(1);
}
rmSync(folder, { recursive: true, force: true });
for (const { path, text } of all) {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  console.log(`dashboards/json/${path}`);
}
