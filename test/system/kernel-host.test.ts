/** What the kernel datapath needs of its host, what is said where it is missing; and what it gives back at a terminal. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { bridgeFolder, deviceName } from "../../src/datapath/kernel/pins.ts";
import { findLink } from "../../src/sys/links.ts";
import { api } from "../helpers/api.ts";
import { bpfObjects, isThere } from "../helpers/bpf-objects.ts";
import { projectRoot } from "../helpers/captures.ts";
import { needs, needsRoot } from "../helpers/needs.ts";
import { pings } from "../helpers/netns-traffic.ts";
import { type Guest, guests, sh, tryInside } from "../helpers/netns.ts";
import { COMMAND, eventually, pause, startWeir, weirHome } from "../helpers/weir-process.ts";

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

test("Ctrl-C on a terminal takes everything away", { timeout: 60_000 }, async (t) => {
  if (!needsRoot(t) || !needs(t, "ip", "ping", "script", "bpftool")) return;
  const [a, b] = guests(t, 2, { net: 65 }) as [Guest, Guest];
  const home = weirHome(t);
  const owner = { stateDir: home.stateDir, bridge: "w" };
  const ports = [a, b].map(({ device }, n) => ({ name: `p${n + 1}`, type: "netdev", device }));
  home.write({ bridges: [{ name: "w", datapath: "kernel", ports }] });
  const command = `exec '${process.execPath}' '${COMMAND}' run --config '${home.config}'`;
  const terminal = spawn("script", ["-qfec", command, "/dev/null"], { stdio: ["pipe", "pipe", "inherit"] });
  t.after(() => terminal.kill("SIGKILL"));
  let shown = "";
  terminal.stdout.on("data", (chunk: Buffer) => (shown += chunk.toString()));
  const ended = new Promise<number | null>((resolve) => terminal.once("close", resolve));
  let pid = 0;
  for (let tries = 0; pid === 0; tries++, await pause(50)) {
    assert.ok(terminal.exitCode === null && tries < 200, shown);
    await api<{ pid: number }>(home.socket, "GET", "system").then(
      (system) => (pid = system.pid),
      () => {},
    );
  }
  assert.ok(pings(a, b.ip));
  const ours = [...bpfObjects(pid)];
  for (const kind of ["map", "prog", "link"])
    assert.ok(
      ours.some((one) => one.startsWith(kind)),
      kind,
    );
  assert.ok(ours.every(isThere) && existsSync(bridgeFolder(owner)) && findLink(`${deviceName(owner)}n`));
  const promiscuity = (): number[] =>
    [a, b].map(({ device }) => JSON.parse(sh("ip", "-d", "-j", "link", "show", device))[0].promiscuity);
  assert.deepEqual(promiscuity(), [1, 1]);

  terminal.stdin.write("\u0003");
  assert.equal(await ended, 0, shown);
  await eventually(
    () => ours.filter(isThere),
    (left) => left.length === 0,
    "bpftool shows none of it",
  );
  assert.deepEqual([existsSync(bridgeFolder(owner)), findLink(`${deviceName(owner)}n`)], [false, undefined]);
  assert.deepEqual(promiscuity(), [0, 0]);
  assert.notEqual(tryInside(a, "ping", "-q", "-c", "1", "-W", "1", b.ip).status, 0);
  assert.equal(home.run("status").status, 3);
});
