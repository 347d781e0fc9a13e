/** The committed dashboards are those that the sources make; they hang together. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { parse } from "yaml";
import { projectRoot } from "../test/helpers/captures.ts";
import { files } from "./all.ts";
import { problems } from "./kit/check.ts";

const folder = join(projectRoot, "dashboards");

test("committed dashboards are generated from this schema: npm run dashboards", () => {
  const made = files();
  for (const { path, text } of made) assert.equal(readFileSync(join(folder, "json", path), "utf8"), text, path);
  const there = readdirSync(join(folder, "json"), { recursive: true, encoding: "utf8" });
  assert.deepEqual(there.filter((name) => name.endsWith(".json")).sort(), made.map(({ path }) => path).sort());
});

test("identities, places, variables and links hang together", () => {
  assert.deepEqual(problems(files().map(({ dashboard }) => dashboard)), []);
});

test("the check finds what it is for", () => {
  const [board] = JSON.parse(JSON.stringify([files()[0]!.dashboard]));
  const spoilt = (change: (copy: any) => void): string => {
    const copy = structuredClone(board);
    change(copy);
    return problems([
      ...files()
        .slice(1)
        .map(({ dashboard }) => dashboard),
      copy,
    ]).join("\n");
  };
  assert.match(
    spoilt((b) => (b.panels[2].id = b.panels[1].id)),
    /an id is there twice/,
  );
  assert.match(
    spoilt((b) => (b.panels[2].gridPos = b.panels[1].gridPos)),
    /overlap/,
  );
  assert.match(
    spoilt((b) => (b.panels[1].datasource.uid = "abc")),
    /a fixed data source/,
  );
  assert.match(
    spoilt((b) => (b.panels[1].targets[0].query += "$nowhere")),
    /variable nowhere is not defined/,
  );
  assert.match(
    spoilt((b) => (b.uid = "weir-influx-ports")),
    /a uid is there twice/,
  );
  assert.match(
    spoilt((b) => (b.uid = "other")),
    /a link to weir-influx-overview, which is not there/,
  );
  assert.match(
    spoilt((b) => delete b.panels[1].targets[0].refId),
    /refId/,
  );
});

test("provisioning files name what is there", () => {
  const read = (path: string): any => parse(readFileSync(join(folder, "provisioning", path), "utf8"));
  const providers = read("dashboards/weir.yaml");
  assert.equal(providers.apiVersion, 1);
  assert.deepEqual(
    providers.providers.map((one: any) => one.options.path.split("/").at(-1)).sort(),
    readdirSync(join(folder, "json")).sort(),
  );
  const sources = read("datasources/weir.yaml");
  assert.deepEqual(
    sources.datasources.map((one: any) => one.type),
    ["influxdb", "prometheus"],
  );
});
