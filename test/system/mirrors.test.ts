/**
 * Mirror sessions of a running switch on real wires: marks where people look, streams into tshark, super-packets in every
 * output, remotes and disks that fail, a mirror of the port that its own copies leave by.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import type { FlowJson, MirrorJson } from "../../src/bridge/views/json.ts";
import { needs, needsRoot } from "../helpers/needs.ts";
import { pings, sendFile } from "../helpers/netns-traffic.ts";
import { type Guest, guests, type Running, sh, start, tryInside, until } from "../helpers/netns.ts";
import { tsharkFields } from "../helpers/tshark.ts";
import { COMMAND, eventually, pause, startWeir, weirHome, type WeirHome } from "../helpers/weir-process.ts";

const TOOLS = ["ip", "ping", "tcpdump", "tshark", "capinfos", "mount"] as const;
const NET = 86;
/** This host, by an internal port of the switch. */
const HOST = `10.${NET}.0.100`;
const access = { mode: "access", tag: 10 };

function netdev(name: string, guest: Guest, more: object = { vlan: access }): object {
  return { name, type: "netdev", device: guest.device, ...more };
}

function capture(t: TestContext, guest: Guest, path: string): Running {
  return start(t, guest, "tcpdump", "-i", "eth0", "-p", "-U", "-B", "65536", "-s", "0", "-w", path);
}

const listens = (tcpdump: Running): Promise<void> =>
  until(() => tcpdump.output().includes("listening"), "tcpdump listens");

/** What a witness has not read yet when it is stopped, it never writes: its file has not grown for half a second. */
async function written(...paths: readonly string[]): Promise<void> {
  const sizes = (): number[] => paths.map((path) => statSync(path).size);
  for (let before = [0], now = sizes(); String(now) !== String(before); now = sizes()) {
    before = now;
    await pause(500);
  }
}

function mirror(weir: WeirHome, name: string): MirrorJson {
  return weir.json<{ items: MirrorJson[] }>("show", "mirrors", name).items[0]!;
}

test("sessions of a running switch", { timeout: 120_000 }, async (t) => {
  if (!needsRoot(t) || !needs(t, ...TOOLS)) return;
  const [a, b, mon, far] = guests(t, 4, { net: NET }) as [Guest, Guest, Guest, Guest];
  const home = weirHome(t);
  const captures = join(home.folder, "captures");
  mkdirSync(captures);
  const device = `wi${process.pid.toString(36)}`;
  const whole = (mirrors: readonly object[]): object => ({
    captures: { dir: captures },
    bridges: [
      {
        name: "weir0",
        datapath: process.env.WEIR_TEST_DATAPATH ?? "userspace",
        ports: [
          netdev("a", a, { vlan: access, owner: { tenant: "acme", vm: "a1" } }),
          netdev("b", b),
          netdev("mon", mon),
          netdev("far", far),
          { name: "host", type: "internal", device, addresses: [`${HOST}/24`], vlan: access },
        ],
        mirrors,
      },
    ],
  });
  home.write(whole([]));
  const weir = await startWeir(t, home);
  const env = { ...process.env, WEIR_API: `unix:${home.socket}`, NOTIFY_SOCKET: "", USER: "anna", SUDO_USER: "" };
  const asAnna = (...args: string[]): string => {
    const done = spawnSync(process.execPath, [COMMAND, ...args], { env, encoding: "utf8" });
    assert.equal(done.status, 0, done.stderr);
    return done.stdout;
  };
  assert.ok(pings(a, b.ip));
  // The host knows where its collector is.
  assert.equal(spawnSync("ping", ["-q", "-c", "1", "-W", "5", far.ip]).status, 0);

  await t.test("flows, traces and the table of ports say who mirrors", () => {
    asAnna("mirror", "start", "x", "--vm", "a1", "--to", "port:mon", "--filter", "icmp", "--for", "4m");
    pings(a, b.ip);
    const flows = weir.json<{ items: FlowJson[] }>("show", "flows", "--where", "port=a proto=icmp").items;
    assert.deepEqual(flows[0]?.mirrors, ["x"]);
    const trace = (port: string): string =>
      weir.ok("trace", "--port", port, `ipSrc=${a.ip} ipDst=${far.ip} proto=icmp`);
    assert.match(trace("a"), /mirror x: yes, if "icmp"/);
    const toFar = weir.ok("trace", "--port", "b", `ethDst=${far.mac} ipSrc=${b.ip} ipDst=${far.ip} proto=icmp`);
    assert.match(toFar, /mirror x: no \(no selected port is on its way\)|mirror x: yes/);
    const table = weir.ok("show", "ports");
    assert.match(table, /^a .*\* mirrored by anna, (3 m 5\d s|4 m|3 m) left/m);
    assert.match(table, /^mon .* mirror output /m);
    assert.doesNotMatch(table, /^b .*mirrored/m);
    weir.ok("mirror", "stop", "x");
    assert.doesNotMatch(weir.ok("show", "ports"), /mirrored|mirror output/);
  });

  await t.test("a stream into tshark shows frames as they come, and ends by itself", async () => {
    const path = join(home.folder, "own.pcapng");
    const ping = start(t, a, "ping", "-q", "-i", "0.1", b.ip);
    const begin = `"${process.execPath}" "${COMMAND}" mirror start`;
    const script = `${begin} s --port a --to - --for 3s | tshark -l -n -r - -T fields -e icmp.type -e frame.interface_name`;
    const reader = spawn("sh", ["-c", script], { env, stdio: ["ignore", "pipe", "pipe"] });
    t.after(() => reader.kill());
    let seen = "";
    reader.stdout.on("data", (chunk: Buffer) => (seen += chunk.toString()));
    await until(() => seen.includes("8\ta"), "tshark shows a request");
    asAnna("mirror", "start", "f", "--port", "a", "--to", path, "--for", "1s");
    await new Promise((resolve) => (reader.exitCode === null ? reader.once("close", resolve) : resolve(undefined)));
    await ping.stop();
    assert.match(mirror(weir, "s").message!, /its time is over/);
    assert.match(seen, /^0\ta$/m, "the answers too");
    const info = spawnSync("capinfos", ["-M", path], { encoding: "utf8" });
    assert.equal(info.status, 0, info.stderr);
    assert.match(info.stdout, /File type: +pcapng/);
    assert.ok(Number(/Number of packets: +(\d+)/.exec(info.stdout)?.[1]) >= 5, info.stdout);
  });

  await t.test("its own ERSPAN is not copied again by a mirror of the port that it leaves by", async () => {
    const path = join(home.folder, "far.pcap");
    const witness = capture(t, far, path);
    await listens(witness);
    const select = ["--port", "far", "--port", "host", "--port", "a"];
    asAnna("mirror", "start", "loop", ...select, "--to", `erspan:${far.ip},type=III,session=9`, "--filter", "not arp");
    await eventually(
      () => mirror(weir, "loop").outputs[0]!,
      ({ state }) => state === "running",
      "a socket",
    );
    const said = tryInside(a, "ping", "-q", "-c", "10", "-i", "0.05", far.ip);
    assert.equal(said.status, 0, said.output);
    await eventually(
      () => mirror(weir, "loop").sent,
      (sent) => sent >= 20,
      "copies",
    );
    weir.ok("mirror", "stop", "loop");
    const { sent, outputs } = mirror(weir, "loop");
    assert.ok(sent < 60, `${sent} copies of 10 pings and their answers, and little else`);
    assert.equal(outputs[0]!.sent, sent);
    await written(path);
    await witness.stop();
    const rows = tsharkFields(path, ["erspan.spanid", "frame.protocols"], []);
    // What says "protocol unreachable" quotes them.
    const copies = rows.filter(
      ([session, protocols]) => session === "9" && protocols!.startsWith("eth:ethertype:ip:gre:"),
    );
    assert.equal(copies.length, sent, "all that were sent arrive");
    assert.ok(
      copies.every(([, protocols]) => protocols!.split("gre").length === 2),
      "never one in another",
    );
  });

  await t.test("a remote that is not there and a disk that is full stop that output alone", async (t) => {
    sh("mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", captures);
    t.after(() => sh("umount", "-l", captures));
    const outputs = [
      { type: "erspan", remote: `10.${NET}.0.222`, session: 3 },
      { type: "file", path: "full.pcapng" },
      { type: "span", port: "mon" },
      { type: "erspan", remote: far.ip, session: 4 },
      { type: "erspan", remote: "no-such-host.invalid", session: 5 },
    ];
    weir.reload(whole([{ name: "m", select: { ports: ["a"] }, outputs }]));
    const ping = start(t, a, "ping", "-q", "-i", "0.01", "-s", "1400", b.ip);
    const [dead, full, , , nameless] = (
      await eventually(
        () => mirror(weir, "m"),
        ({ outputs: [first, second, , , last] }) =>
          [first, second, last].every((one) => one!.state === "failed") && first!.failed > 0,
        "three outputs fail",
        15_000,
      )
    ).outputs;
    assert.match(dead!.lastError!, /no answer from 10\.86\.0\.222 \(EHOSTUNREACH\)/);
    assert.match(full!.lastError!, /ENOSPC/);
    assert.match(nameless!.lastError!, /no-such-host\.invalid/);
    const before = mirror(weir, "m").outputs;
    await eventually(
      () => mirror(weir, "m"),
      ({ state, outputs: [, second, third, fourth] }) =>
        state === "running" &&
        second!.failed > before[1]!.failed &&
        third!.sent > before[2]!.sent + 20 &&
        fourth!.sent > before[3]!.sent + 20 &&
        fourth!.state === "running",
      "the others go on",
    );
    await ping.stop();
    assert.match(weir.ok("mirror", "list"), /erspan 10\.86\.0\.222 type II session 3 failed: no answer/);
    assert.ok(pings(a, b.ip), "and frames pass");
  });
});

/** The bytes of one TCP stream put together from segments, whatever their order and however often. */
function streamOf(path: string, from: Guest): Buffer {
  const rows = tsharkFields(path, ["tcp.seq", "tcp.payload"], [], `ip.src == ${from.ip} && tcp.len > 0`);
  const parts = rows.map(([sequence, payload]) => ({ at: Number(sequence) - 1, bytes: Buffer.from(payload!, "hex") }));
  const stream = Buffer.alloc(Math.max(0, ...parts.map(({ at, bytes }) => at + bytes.length)));
  for (const { at, bytes } of parts) bytes.copy(stream, at);
  return stream;
}

test("TCP with super-packets is whole in every output at once, and undisturbed", { timeout: 60_000 }, async (t) => {
  if (!needsRoot(t) || !needs(t, ...TOOLS)) return;
  const [a, b, mon, narrow] = guests(t, 4, { net: 87 }) as [Guest, Guest, Guest, Guest];
  // Room for ERSPAN around a whole frame.
  const [far] = guests(t, 1, { net: 88, mtu: 1600 }) as [Guest];
  sh("ip", "addr", "add", "10.88.0.100/24", "dev", far.device);
  const home = weirHome(t);
  const outputs = [
    { type: "span", port: "mon" },
    { type: "file", path: "tcp.pcapng" },
    { type: "erspan", erspanType: "III", remote: far.ip, session: 5 },
  ];
  const select = { ports: ["a"], direction: "ingress" };
  home.write({
    bridges: [
      {
        name: "weir0",
        datapath: process.env.WEIR_TEST_DATAPATH ?? "userspace",
        ports: [netdev("a", a, {}), netdev("b", b, {}), netdev("mon", mon, {}), netdev("narrow", narrow, {})],
        mirrors: [
          { name: "gso", select, outputs },
          {
            name: "cut",
            select,
            snaplen: 64,
            outputs: [
              { type: "file", path: "cut.pcapng" },
              { type: "span", port: "narrow" },
            ],
          },
        ],
      },
    ],
  });
  const weir = await startWeir(t, home);
  const [spanFile, farFile, narrowFile] = ["span", "far", "narrow"].map((name) =>
    join(home.folder, `${name}.pcap`),
  ) as [string, string, string];
  const witnesses = [capture(t, mon, spanFile), capture(t, far, farFile), capture(t, narrow, narrowFile)];
  for (const witness of witnesses) await listens(witness);
  const bytes = 2_000_000;
  const sent = await sendFile(t, a, b, b.ip, bytes);
  const [span, , erspan] = await eventually(
    () => mirror(weir, "gso").outputs,
    ([one, two, three]) => one!.sent === three!.sent && two!.sent === three!.sent && three!.sent > bytes / 1500,
    "every output has every frame",
  );
  assert.deepEqual([span!.failed, erspan!.failed, erspan!.queueDropped, erspan!.truncated], [0, 0, 0, 0]);
  await written(spanFile, farFile, narrowFile);
  for (const witness of witnesses) await witness.stop();
  await weir.stop();
  const file = join(home.stateDir, "captures", "tcp.pcapng");
  for (const path of [spanFile, file, farFile]) {
    const stream = streamOf(path, a);
    assert.equal(stream.length, bytes, path);
    assert.ok(stream.equals(sent), path);
    assert.equal(spawnSync("capinfos", [path]).status, 0, path);
  }
  // Files and ERSPAN hold frames as they are on a wire, none longer than the wire's.
  const lengths = tsharkFields(file, ["frame.len"]).map(([length]) => Number(length));
  assert.ok(Math.max(...lengths) <= 1514);
  assert.equal(
    tsharkFields(file, ["tcp.checksum.status"], ["tcp.check_checksum:TRUE"], "tcp.checksum.status == 0").length,
    0,
  );
  // With a snaplen, segments too.
  const cut = tsharkFields(
    join(home.stateDir, "captures", "cut.pcapng"),
    ["frame.cap_len", "tcp.seq_raw"],
    [],
    "tcp.seq",
  );
  assert.ok(cut.length > bytes / 1500 && cut.every(([length]) => Number(length) <= 64));
  const narrowed = tsharkFields(narrowFile, ["frame.len", "tcp.seq_raw"], [], "tcp.seq");
  assert.deepEqual(
    narrowed.map(([, sequence]) => sequence),
    cut.map(([, sequence]) => sequence),
  );
  assert.ok(narrowed.every(([length]) => Number(length) <= 64));
});
