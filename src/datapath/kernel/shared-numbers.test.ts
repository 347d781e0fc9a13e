/** bpf/shared.h against TypeScript: every number there is exported here under the same name with the same value. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { projectRoot } from "../../../test/helpers/captures.ts";
import * as disposition from "../../flow/disposition.ts";
import * as key from "../../flow/key.ts";
import * as actions from "../../pipeline/actions.ts";
import * as copies from "../../shm/copies.ts";
import * as counters from "../../shm/counters.ts";
import * as samples from "../../shm/samples.ts";
import * as unattributed from "../../shm/unattributed.ts";
import * as vnet from "../../wire/vnet.ts";
import * as datapath from "../datapath.ts";
import * as layout from "./layout.ts";

test("the programs and this process mean the same by every number that they share", () => {
  const shared = { ...disposition, ...key, ...actions, ...copies, ...counters, ...samples, ...unattributed };
  const here = { ...shared, ...vnet, ...datapath, ...layout };
  const text = readFileSync(join(projectRoot, "src/datapath/kernel/bpf/shared.h"), "utf8");
  const defined = [...text.matchAll(/^#define (\w+) (\S+)$/gm)].map(
    ([, name, value]) => [name!, Number(value)] as const,
  );
  assert.ok(defined.length > 120, `${defined.length} numbers`);
  for (const [name, value] of defined) assert.equal((here as Record<string, unknown>)[name], value, name);
});
