/** The examples that we ship, with the port types and exporters that there are; and hostile neighbours of them. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as fc from "fast-check";
import { projectRoot } from "../../test/helpers/captures.ts";
import { exporterTypes, portTypes } from "../registry.gen.ts";
import { host, registries as small } from "../../test/helpers/registries.ts";
import { readPortEntry } from "./check.ts";
import { configJsonSchema } from "./json-schema.ts";
import { loadConfig, loadText } from "./load.ts";
import { ConfigError } from "./problem.ts";

const registries = { portTypes, exporterTypes };
const path = (name: string) => join(projectRoot, "config", name);
const EXAMPLES = ["demo.yaml", "weir.yaml", "replay.yaml"];

for (const name of EXAMPLES)
  test(`config/${name} loads`, async () => {
    const { config } = await loadConfig(path(name), registries, host);
    assert.equal(config.bridges[0]!.name, "weir0");
    assert.ok(config.bridges[0]!.ports.length > 0);
  });

test("the interface's example of a traffic port makes fourteen ports with owners", async () => {
  const { config } = await loadConfig(path("demo.yaml"), registries, host);
  const ports = config.bridges[0]!.ports;
  assert.equal(ports.length, 14);
  for (const port of ports.filter((port) => port.owner))
    assert.ok(config.tenants[port.owner!.tenant!]?.vlans.includes((port.vlan as { tag: number }).tag), port.name);
});

test("config/weir.schema.json is what weir schema prints", async () => {
  const now = `${JSON.stringify(await configJsonSchema(registries), null, 2)}\n`;
  if (process.env.UPDATE) writeFileSync(path("weir.schema.json"), now);
  assert.equal(
    readFileSync(path("weir.schema.json"), "utf8"),
    now,
    "write it anew: UPDATE=1 npm test -- config/examples",
  );
});

test("a port that a command adds is read by the same rules", async () => {
  const read = (entry: unknown) => readPortEntry(entry, "port add", "cli", small);
  const [port] = await read({ name: "x", type: "netdev", device: "tap0", vlan: { mode: "access", tag: 7 } });
  assert.deepEqual([port!.name, port!.origin, port!.vlan], ["x", "cli", { mode: "access", tag: 7 }]);
  const problems = async (entry: unknown) =>
    ((await read(entry).catch((error) => error)) as ConfigError).message.split("\n");
  assert.deepEqual(await problems({ name: "x", type: "netdv", vlan: { mode: "access", tag: 5000 } }), [
    "port add: vlan.tag: 5000 is not a VLAN id (1..4094)",
    `port add: type: "netdv" is not a type of port (did you mean "netdev"?)`,
  ]);
  for (const hostile of [null, 7, "x", [], {}, { name: {}, type: [] }, { name: "x", type: "__proto__" }])
    assert.ok((await problems(hostile)).length > 0);
});

test("mutations of the examples: a configuration or problems with places, never anything else", async () => {
  const texts = EXAMPLES.map((name) => readFileSync(path(name), "utf8"));
  const pieces = [
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "\n",
    "  ",
    "'",
    '"',
    "#",
    "&a ",
    "*a",
    "!!int ",
    "|",
    ">",
    "~",
    "no",
    "0x7",
    "1e9",
    "5000",
    "\t",
  ];
  const edit = fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    remove: fc.nat(12),
    insert: fc.oneof(fc.constantFrom(...pieces), fc.string({ maxLength: 6, unit: "binary" })),
  });
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...texts), fc.array(edit, { minLength: 1, maxLength: 5 }), async (text, edits) => {
      let mutated = text;
      for (const { at, remove, insert } of edits) {
        const from = Math.floor(at * mutated.length);
        mutated = mutated.slice(0, from) + insert + mutated.slice(from + remove);
      }
      const lines = mutated.split("\n").length;
      try {
        await loadText(mutated, "x.yaml", registries, host, "/nonexistent");
      } catch (error) {
        assert.ok(error instanceof ConfigError, String((error as Error).stack));
        assert.ok(error.problems.length > 0);
        for (const problem of error.problems) {
          assert.ok(problem.line >= 1 && problem.line <= lines && problem.column >= 1, JSON.stringify(problem));
          assert.ok(problem.message.length > 0);
        }
      }
    }),
    { numRuns: Number(process.env.FUZZ_RUNS ?? 300) },
  );
});
