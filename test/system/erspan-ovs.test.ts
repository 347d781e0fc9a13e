/** ERSPAN from a running switch, received by Open vSwitch: its tunnel ports hand on the frames that were copied. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { buildFrame } from "../../src/wire/builder.ts";
import { fileContent } from "../helpers/capture-content.ts";
import { needs, needsRoot } from "../helpers/needs.ts";
import { type Guest, guests, inside, sh, start, until } from "../helpers/netns.ts";
import { startWeir, weirHome } from "../helpers/weir-process.ts";
import { type VethEnd, wireEnds } from "../helpers/wire-ends.ts";

const NET = 86;
const HOST = `10.${NET}.0.100`;
const COLLECTOR = `10.${NET}.0.1`;
const SESSIONS = [
  { port: "two", erspanType: "II", session: 7, options: ["options:erspan_ver=1", "options:erspan_idx=0x7531"] },
  { port: "three", erspanType: "III", session: 8, options: ["options:erspan_ver=2"] },
] as const;

/** Open vSwitch in the guest, userspace datapath: eth0 carries the tunnels, each session comes out of a device of its own. */
async function openVswitch(t: TestContext, guest: Guest, folder: string): Promise<void> {
  const home = join(folder, "ovs");
  mkdirSync(home);
  const env = ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"].map((name) => `${name}=${home}`);
  const socket = join(home, "db.sock");
  sh("env", ...env, "ovsdb-tool", "create", join(home, "conf.db"), "/usr/share/openvswitch/vswitch.ovsschema");
  start(t, guest, "env", ...env, "ovsdb-server", join(home, "conf.db"), `--remote=punix:${socket}`, "--no-chdir");
  await until(() => existsSync(socket), "ovsdb-server answers");
  const vsctl = (...args: string[]): string =>
    inside(guest, "env", ...env, "ovs-vsctl", `--db=unix:${socket}`, "--timeout=20", ...args);
  vsctl("--no-wait", "init");
  start(t, guest, "env", ...env, "ovs-vswitchd", `unix:${socket}`, "--disable-system", "--no-chdir");
  const bridge = (name: string): string[] => ["add-br", name, "--", "set", "bridge", name, "datapath_type=netdev"];
  vsctl(...bridge("wire"));
  vsctl("add-port", "wire", "eth0");
  inside(guest, "ip", "addr", "del", `${COLLECTOR}/24`, "dev", "eth0");
  inside(guest, "ip", "addr", "add", `${COLLECTOR}/24`, "dev", "wire");
  inside(guest, "ip", "link", "set", "wire", "up");
  for (const { port, session, options } of SESSIONS) {
    vsctl(...bridge(port));
    const tunnel = ["type=erspan", `options:remote_ip=${HOST}`, `options:key=${session}`, ...options];
    vsctl("add-port", port, `er-${port}`, "--", "set", "interface", `er-${port}`, ...tunnel);
    inside(guest, "ip", "link", "set", port, "up");
  }
  await until(() => inside(guest, "ip", "link", "show", "dev", "three").includes("UP"), "its devices are up");
}

test("Open vSwitch takes the frames out of ERSPAN II and III", { timeout: 60_000 }, async (t) => {
  if (!needsRoot(t) || !needs(t, "ip", "tcpdump", "ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl")) return;
  const wires = wireEnds(2);
  t.after(() => wires.close());
  const [a, b] = wires.ends as readonly [VethEnd, VethEnd];
  const [collector] = guests(t, 1, { net: NET }) as [Guest];
  sh("ip", "addr", "add", `${HOST}/24`, "dev", collector.device);
  const home = weirHome(t);
  await openVswitch(t, collector, home.folder);
  const witnesses = SESSIONS.map(({ port }) => {
    const path = join(home.folder, `${port}.pcap`);
    const filter = "udp dst port 9";
    return {
      path,
      tcpdump: start(t, collector, "tcpdump", "-i", port, "-p", "-U", "-s", "0", "-w", path, filter),
    };
  });
  for (const { tcpdump } of witnesses) await until(() => tcpdump.output().includes("listening"), "tcpdump listens");
  await until(() => {
    try {
      sh("ping", "-c", "1", "-W", "1", COLLECTOR);
      return true;
    } catch {
      return false;
    }
  }, "the collector answers");
  home.write({
    bridges: [
      {
        name: "weir0",
        datapath: process.env.WEIR_TEST_DATAPATH ?? "userspace",
        ports: [a, b].map(({ device }, n) => ({ name: `p${n}`, type: "netdev", device })),
        mirrors: [
          {
            name: "m",
            select: { ports: ["p0"], direction: "ingress" },
            outputs: SESSIONS.map(({ erspanType, session }) => ({
              type: "erspan",
              erspanType,
              session,
              remote: COLLECTOR,
            })),
          },
        ],
      },
    ],
  });
  const weir = await startWeir(t, home);
  const frames = [60, 200, 700, 1400].map((length) =>
    buildFrame({
      ethSrc: "02:00:00:00:0b:01",
      ethDst: "02:00:00:00:0b:02",
      ip: { src: "10.1.0.1", dst: "10.1.0.2" },
      udp: { src: length, dst: 9 },
      payload: Uint8Array.from({ length: length - 42 }, (_, n) => n & 0xff),
    }),
  );
  for (const one of frames) a.send(one);
  const arrived = (path: string): string[] => fileContent(path).packets.map(({ bytes }) => bytes);
  await until(
    () => witnesses.every(({ path }) => arrived(path).length >= frames.length),
    `frames come out (${JSON.stringify(weir.json("show", "mirrors").items[0].outputs)})`,
  );
  for (const { path } of witnesses)
    assert.deepEqual(
      arrived(path),
      frames.map((one) => Buffer.from(one).toString("hex")),
    );
});
