/** What the kernel datapath needs of its host: four capabilities, and what is said where one is missing. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { projectRoot } from "../helpers/captures.ts";
import { needs, needsRoot } from "../helpers/needs.ts";
import { pings } from "../helpers/netns-traffic.ts";
import { type Guest, guests } from "../helpers/netns.ts";
import { COMMAND, startWeir, weirHome } from "../helpers/weir-process.ts";

/** As config/weir.service has them. */
const UNIT = readFileSync(join(projectRoot, "config/weir.service"), "utf8");
const CAPABILITIES = /^CapabilityBoundingSet=(.*)$/m.exec(UNIT)![1]!.split(" ");

const only = (capabilities: readonly string[]): string[] => [
  "setpriv",
  `--bounding-set=${["-all", ...capabilities.map((one) => one.replace("CAP_", "+").toLowerCase())].join()}`,
  "--inh-caps=-all",
];

test("with the unit's capabilities it forwards; without one of them it says which", { timeout: 60_000 }, async (t) => {
  if (!needsRoot(t) || !needs(t, "ip", "ping", "setpriv")) return;
  const [a, b] = guests(t, 2, { net: 64 }) as [Guest, Guest];
  const home = weirHome(t);
  const ports = [a, b].map(({ device }, n) => ({ name: `p${n + 1}`, type: "netdev", device }));
  home.write({ bridges: [{ name: "w", datapath: "kernel", ports }] });
  const weir = await startWeir(t, home, { under: only(CAPABILITIES) });
  assert.ok(pings(a, b.ip));
  assert.equal(await weir.stop(), 0);
  for (const missing of CAPABILITIES) {
    const command = [...only(CAPABILITIES.filter((one) => one !== missing)), process.execPath, COMMAND];
    const [program, ...args] = [...command, "run", "--config", home.config];
    const { status, stderr } = spawnSync(program!, args, { encoding: "utf8", timeout: 20_000 });
    assert.equal(status, 4, stderr);
    assert.match(
      stderr,
      new RegExp(`bridge w: the kernel datapath needs ${missing}, which this process does not have`),
    );
  }
  home.write({ bridges: [{ name: "w", ports }] });
  const auto = await startWeir(t, home, { under: only(["CAP_NET_ADMIN", "CAP_NET_RAW"]) });
  assert.match(auto.ok("status"), /userspace datapath \(auto: the kernel datapath needs CAP_BPF and CAP_PERFMON/);
  assert.ok(pings(a, b.ip));
});
