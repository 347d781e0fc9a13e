/** What others get: `edgeweir/sflow-decoder` as a package, with types that a strict consumer compiles against. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { projectRoot } from "../../test/helpers/captures.ts";
import { withFolder } from "../../test/helpers/tshark.ts";

const CONSUMER = `import { decode, type FlowSample } from "edgeweir/sflow-decoder";
const { datagram, error } = decode(Uint8Array.of(0, 0, 0, 4));
const flows: readonly FlowSample[] = (datagram?.samples ?? []).filter((sample) => sample.type === "flow");
for (const { records } of flows)
  for (const record of records) if (record.type === "rawHeader") console.log(record.frameLength.toFixed());
// @ts-expect-error: no such field
datagram?.nothing;
console.log(error?.message);
`;

test("a stranger's strict TypeScript compiles against the package and runs", () => {
  withFolder((folder) => {
    mkdirSync(join(folder, "node_modules"));
    symlinkSync(projectRoot, join(folder, "node_modules/edgeweir"));
    writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
    writeFileSync(join(folder, "use.ts"), CONSUMER);
    const tsc = join(projectRoot, "node_modules/typescript/bin/tsc");
    const options = "--ignoreConfig --strict --exactOptionalPropertyTypes --target es2023 --module nodenext";
    const types = ["--types", "node", "--typeRoots", join(projectRoot, "node_modules/@types")];
    const compiled = spawnSync(process.execPath, [tsc, "use.ts", ...options.split(" "), ...types], {
      cwd: folder,
      encoding: "utf8",
    });
    assert.equal(compiled.status, 0, compiled.stdout);
    const ran = spawnSync(process.execPath, ["use.js"], { cwd: folder, encoding: "utf8" });
    assert.equal(ran.stdout, "version 4 is not 5\n", ran.stderr);
  });
});
