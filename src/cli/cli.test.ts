import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { gunzipSync } from "node:zlib";
import { served, weir } from "../../test/helpers/cli.ts";
import { audit, flow, HOSTILE, system } from "../../test/helpers/fake-switch.ts";
import { createProgram } from "./program.ts";

// Nothing that a terminal would obey: C0 but newline, DEL, C1, direction overrides.
// eslint-disable-next-line no-control-regex
const OBEYED = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;

const SCREENS = ["ports", "flows", "macs", "rules", "drops", "exporters", "tenants", "audit", "system", "config"];

test("every screen renders, is plain without a terminal, and --json prints one value and nothing else", async (t) => {
  const { run } = await served(t);
  for (const what of SCREENS) {
    const shown = await run(["show", what]);
    assert.equal(shown.code, 0, shown.err);
    assert.ok(shown.out.length > 20, what);
    assert.doesNotMatch(shown.out, OBEYED, what);
    assert.equal(shown.err, "");
    const json = await run(["show", what, "--json"]);
    assert.equal(json.code, 0);
    assert.equal(json.out.trimEnd().split("\n").length, 1);
    JSON.parse(json.out);
  }
});

test("show ports: columns are straight, the absent port says why", async (t) => {
  const { run } = await served(t);
  const { out } = await run(["show", "ports"]);
  const lines = out.split("\n");
  assert.match(lines[0]!, /^weir0 {2}switch, userspace datapath, up 12 s .*IN = into the switch/);
  assert.match(
    lines[1]!,
    /^PORT +STATE +DEVICE +IFINDEX +VLAN +OWNER +IN bit\/s +pps +OUT bit\/s +pps +DROP\/s +LOST\/s$/,
  );
  assert.match(lines[2]!, /^uplink +up 10G +veth-uplink +3 +trunk 100-200 +- +1\.21G +148k +803M +96k +0 +0$/);
  assert.match(
    lines[3]!,
    /^web1 +up +veth-web1 +20001 +100 +acme\/web1 +402M +51k +0 +0 +212 +0 +! ingress_vlan_filter$/,
  );
  assert.match(lines[4]!, /^lab1 +absent .* - +- +- +- +- +- +! no device 52:54:00:12:34:9f since 00:51$/);
  const end = lines[1]!.indexOf("IFINDEX") + "IFINDEX".length;
  assert.equal(lines[2]!.slice(0, end).trimEnd().length, end, "numbers end where their title ends");
});

test("hostile names are shown, not obeyed", async (t) => {
  const { run } = await served(t, {
    flows: async () => ({ items: [flow({ port: HOSTILE, output: [HOSTILE], tenant: HOSTILE })], total: 1 }),
  });
  const { out } = await run(["show", "ports"]);
  assert.match(out, /globex\/\\x1b\]0;owned\\x07\\u\{202e\}evil\\n\\x1b\[2J/);
  for (const args of [
    ["show", "flows"],
    ["show", "ports", "lab1"],
    ["show", "tenants"],
  ])
    assert.doesNotMatch((await run(args)).out, OBEYED);
});

test("show flows: what is asked is what is sent, and the title says how many there are", async (t) => {
  const { run, view } = await served(t);
  const { out } = await run(["show", "flows", "web1", "--where", "tenant=acme", "--sort", "-packets", "--limit", "3"]);
  assert.deepEqual(view.calls, [{ where: "port=web1 tenant=acme", sort: "-packets", limit: 3 }]);
  assert.match(out, /^3 of 12,345 flows by packets /);
  assert.match(
    out,
    /web1 +uplink +acme +100 +tcp +10\.1\.0\.5:443 +192\.0\.2\.77:51514 +1,204,881 +1\.69G +212M +41s +forwarded\n/,
  );
  assert.match(out, /db1 +- +acme +200 .*dropped ingress_vlan_filter\n/);
});

test("show flows --json --limit 0 streams one object a line", async (t) => {
  const { run } = await served(t);
  const { out, code } = await run(["show", "flows", "--json", "--limit", "0"]);
  const lines = out.trimEnd().split("\n");
  assert.deepEqual([code, lines.length], [0, 400]);
  for (const line of lines) assert.ok(JSON.parse(line).id);
});

test("show audit: the numbers stand under each other and add up; bad news is exit 1", async (t) => {
  const { run } = await served(t);
  const { out } = await run(["show", "audit"]);
  const number = (label: string): number =>
    Number(new RegExp(`^ *${label} +([\\d,]+)`, "m").exec(out)![1]!.replaceAll(",", ""));
  assert.equal(number("forwarded") + number("dropped") + number("consumed"), number("received by ports"));
  assert.equal(
    number("in records written") + number("in the table, not yet in a record") + number("unattributed"),
    number("received by ports"),
  );
  assert.match(out, /ingress_vlan_filter 21,190, port_loopback_filter 9,150 \(expected\), pkt_too_small 62/);
  assert.match(out, /netflow-v5: sent 181,402,118 \+ ipv6 402,331 \+ nonIp 5,202 = 181,809,651 in records +yes/);
  const busy = await served(t, {
    audit: () => [{ ...audit, exact: false, inFlight: 66, inTable: audit.inTable - 66 }],
  });
  assert.match((await busy.run(["show", "audit"])).out, /= received, but for 66 in flight +yes/);
  const bad = await served(t, { audit: () => [{ ...audit, ok: false, flowsOk: false, inTable: 0 }] });
  const shown = await bad.run(["show", "audit"]);
  assert.equal(shown.code, 1);
  assert.match(shown.out, /DOES NOT ADD UP/);
  assert.equal((await bad.run(["show", "audit", "--json"])).code, 1);
});

test("status: 0 healthy, 1 degraded, 3 not running", async (t) => {
  const { run } = await served(t);
  const healthy = await run(["status"]);
  assert.equal(healthy.code, 0);
  assert.match(healthy.out, /weir0 +forwarding +userspace datapath .*3 ports: 2 up, 1 absent/);
  assert.match(healthy.out, /lost 102 \(tap 88, nic 14\)/);
  const ill = await served(t, {
    system: () => ({ ...system, state: "degraded", problems: ["port old3 conflict", HOSTILE] }),
  });
  const degraded = await ill.run(["status"]);
  assert.equal(degraded.code, 1);
  assert.match(degraded.out, /DEGRADED: port old3 conflict; \\x1b/);
  const none = await weir(["status"], { env: { WEIR_API: "unix:/nonexistent/weir.sock" } });
  assert.equal(none.code, 3);
  assert.match(none.out, /no weir process/);
  assert.deepEqual(
    JSON.parse((await weir(["status", "--json"], { env: { WEIR_API: "unix:/nonexistent" } })).out).state,
    "notRunning",
  );
});

test("exit codes: usage 2, no switch 3, said no 1", async (t) => {
  const { run } = await served(t);
  const code = async (...args: string[]): Promise<number> => (await run(args)).code;
  assert.equal(await code("shwo"), 2);
  assert.match((await run(["shwo"])).err, /unknown command 'shwo'\n\(Did you mean show\?\)/);
  assert.equal(await code("show", "flwos"), 2);
  assert.equal(await code("show", "ports", "--nosuch"), 2);
  assert.equal(await code("show", "system", "--limit", "3"), 2);
  assert.equal(await code("show", "ports", "--every", "2"), 2);
  assert.equal(await code("show", "ports", "--sort", "nosuch"), 2);
  assert.equal(await code("show", "ports", "nosuch"), 1);
  assert.equal(await code("monitor", "weather"), 2);
  assert.equal(await code("port", "disable", "nosuch"), 1);
  assert.equal(await code("top"), 2);
  assert.equal(await code("--help"), 0);
  const lost = await weir(["show", "ports"], { env: { XDG_RUNTIME_DIR: "/nonexistent" } });
  assert.equal(lost.code, 3);
  assert.match(
    lost.err,
    /tried unix:\/run\/weir\/weir\.sock .*unix:\/nonexistent\/weir\/weir\.sock .*unix:\/tmp\/weir-/,
  );
});

test("every command has help with an example", async () => {
  const program = createProgram({ version: "0.1.0", out: {}, err: {}, engine: {} } as never);
  const paths = program.commands.flatMap((command) => [
    [command.name()],
    ...command.commands.map((inner) => [command.name(), inner.name()]),
  ]);
  assert.ok(paths.length > 15);
  for (const path of paths) {
    const { code, out } = await weir([...path, "--help"]);
    assert.equal(code, 0);
    assert.match(out, /\nExamples?:\n {2}weir /, path.join(" "));
  }
});

test("trace: fields, hex, flow and capture become the question; the answer says what would allow it", async (t) => {
  const { run, view, folder } = await served(t);
  const { out } = await run(["trace", "--port", "db1", "vlan=200 ipSrc=10.2.0.9", "proto=icmp"]);
  assert.match(out, /^2 ingress +port db1, access VLAN 100: the frame carries tag 200 +-> not admitted$/m);
  assert.match(out, /^verdict +DROPPED {2}ingress_vlan_filter {3}\(sFlow 265, forwardingStatus 128\)$/m);
  assert.match(out, /^to allow +vlan: \{ mode: trunk/m);
  const hex = "ffffffffffff5254000000010806";
  await run(["trace", "--port", "db1", hex]);
  await run(["trace", "--flow", "weir0/2/81f"]);
  const header = Buffer.alloc(24);
  header.writeUInt32BE(0xa1b2c3d4, 0);
  header.writeUInt32BE(1, 20);
  const record = Buffer.alloc(16);
  record.writeUInt32BE(hex.length / 2, 8);
  writeFileSync(join(folder, "a.pcap"), Buffer.concat([header, record, Buffer.from(hex, "hex")]));
  await run(["trace", "--port", "db1", "--pcap", join(folder, "a.pcap")]);
  assert.deepEqual(view.calls, [
    { port: "db1", match: "vlan=200 ipSrc=10.2.0.9 proto=icmp" },
    { port: "db1", frame: hex },
    { flow: "weir0/2/81f" },
    { port: "db1", frame: hex },
  ]);
  assert.equal((await run(["trace", "vlan=1"])).code, 2);
  assert.equal((await run(["trace", "--port", "a"])).code, 2);
});

test("port and reload send what was said", async (t) => {
  const { run, view } = await served(t);
  await run(["port", "add", "web9", "--device", "vnet9", "--vlan", "100", "--owner", "tenant=acme,vm=web9,rack=r7"]);
  await run(["port", "disable", "web1", "--for", "10m"]);
  await run(["port", "enable", "web1"]);
  await run(["port", "del", "web9"]);
  const dry = await run(["reload", "--dry-run"]);
  await run(["reload", "--try", "60s"]);
  assert.deepEqual(view.calls, [
    {
      name: "web9",
      entry: {
        type: "netdev",
        device: "vnet9",
        vlan: { mode: "access", tag: 100 },
        owner: { tenant: "acme", vm: "web9", labels: { rack: "r7" } },
      },
    },
    { name: "web1", patch: { enabled: false, forMs: 600_000 } },
    { name: "web1", patch: { enabled: true } },
    { name: "web9" },
    { dryRun: true, keep: false },
    { dryRun: false, keep: false, tryMs: 60_000 },
  ]);
  assert.match(dry.out, /^ {2}~ ports\.db1\.vlan {2}access 100 -> trunk 100,200 {2}flows of db1 re-evaluated/m);
  assert.match(dry.out, /dry run: nothing was changed/);
  assert.equal((await run(["port", "add", "x", "--device", "y", "--vlan", "5000"])).code, 2);
});

test("report leaves secrets out", async (t) => {
  const { run } = await served(t);
  const folder = mkdtempSync(join(tmpdir(), "weir-report-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "report.json.gz");
  assert.equal((await run(["report", "-o", file])).code, 0);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const text = gunzipSync(readFileSync(file)).toString();
  assert.doesNotMatch(text, /sesame/);
  assert.doesNotMatch(text, /10\.1\.0\.5/);
  assert.equal(JSON.parse(text).system.version, "0.1.0");
});

test("check: ok, or every error and exit 2", async () => {
  const good = await weir(["check", "-"], { stdin: "x", engine: { check: async () => [] } });
  assert.deepEqual([good.code, good.out], [0, "-: ok\n"]);
  const bad = await weir(["check", "-"], {
    stdin: "x",
    engine: { check: async () => ["-:1:1 a: b", "-:2:1 c: \u001b[2J"] },
  });
  assert.equal(bad.code, 2);
  assert.match(bad.err, /^-:1:1 a: b\n-:2:1 c: \\x1b\[2J\n2 errors\n$/);
  assert.equal((await weir(["check", "/nonexistent.yaml"])).code, 2);
  assert.match((await weir(["check", process.execPath])).err, /larger than 1 MiB/);
});

test("version names both ends", async (t) => {
  const { run } = await served(t);
  assert.match(
    (await run(["version"])).out,
    /command {2}weir 0\.1\.0.*\nswitch {3}weir 0\.1\.0, Node 20\.20\.2, process 4242\n/,
  );
  assert.match((await weir(["version"], { env: { WEIR_API: "unix:/nonexistent" } })).out, /none answers/);
});

test("monitor prints notices until Ctrl-C, then exits 0", async (t) => {
  const { run, view } = await served(t);
  const stop = new AbortController();
  const running = run(["monitor", "macs"], { signal: stop.signal });
  while (view.events.subscribers === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  view.events.publish({ kind: "mac", bridge: "weir0", port: "web1", message: `moved from ${HOSTILE}` }, 0);
  await new Promise((resolve) => setTimeout(resolve, 50));
  stop.abort();
  const { code, out } = await running;
  assert.equal(code, 0);
  assert.match(out, /mac +weir0\/web1 +moved from \\x1b/);
  assert.doesNotMatch(out, OBEYED);
});

test("--every asks again until Ctrl-C", async (t) => {
  const { run, view } = await served(t);
  const stop = new AbortController();
  const running = run(["show", "flows", "--every", "1s"], {
    signal: stop.signal,
    sleep: async () => {
      if (view.calls.length === 3) stop.abort();
    },
  });
  assert.equal((await running).code, 0);
  assert.equal(view.calls.length, 3);
});
