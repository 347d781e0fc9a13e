import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { loadConfig, loadText } from "./load.ts";
import { ConfigError } from "./problem.ts";
import { host, registries } from "../../test/helpers/registries.ts";

const load = async (text: string) => (await loadText(text, "weir.yaml", registries, host)).config;

/** The lines of the error that a text gives. */
async function problems(text: string): Promise<string[]> {
  try {
    await load(text);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    for (const problem of error.problems) assert.ok(problem.line >= 1 && problem.column >= 1, JSON.stringify(problem));
    return error.message.split("\n");
  }
  return [];
}

async function rejects(text: string, ...expected: string[]): Promise<void> {
  assert.deepEqual(await problems(text), expected);
}

/** One port with more keys, on one bridge. */
const port = (keys: string) => `bridges: [{ name: weir0, ports: [{ name: p1, type: netdev, ${keys} }] }]`;

test("an empty file is a configuration: every default", async () => {
  const config = await load("");
  assert.deepEqual(config, {
    host: { name: "hv1", stateDir: "/var/lib/weir" },
    api: { listen: [], hosts: [], insecure: false, tokens: [], socket: "/run/weir/weir.sock" },
    flows: { activeTimeoutMs: 60_000, idleTimeoutMs: 15_000, tcpEndTimeoutMs: 2000, max: 262_144, maxPerPort: 0.5 },
    tenants: {},
    bridges: [],
    exporters: [],
  });
  assert.deepEqual(await load("# nothing\nbridges:\nexporters:\n"), config);
});

test("a whole configuration becomes values: units resolved, lists expanded, ports made", async () => {
  const config = await load(`
flows: { activeTimeout: 5m, maxPerPort: 25% }
tenants: { acme: { vlans: [100-102, 110] } }
bridges:
  - name: weir0
    macAging: 2m
    ports:
      - name: web1
        type: netdev
        match: { mac: "52-54-00-12-34-56" }
        vlan: { mode: access, tag: 100 }
        owner: { tenant: acme, vm: web1, labels: { rack: "7" } }
        sampling: { rate: 10 }
      - { type: netdev, match: { device: "vnet*" }, name: "{device}", vlan: { mode: access, tag: 999 } }
      - { name: up, type: netdev, device: eth1, vlan: { mode: nativeTagged, tag: 7, trunks: [200, 100-101] }, enabled: no }
      - { name: gen, type: traffic, rate: 2kpps }
exporters:
  - { name: nf, type: netflow-v5, collectors: ["127.0.0.1", "[::1]:9995", "nfdump:2056"], bridges: [weir0] }
  - { type: influx, url: "http://127.0.0.1:8086" }
`);
  assert.deepEqual(config.flows.activeTimeoutMs, 300_000);
  assert.deepEqual(config.tenants, { acme: { vlans: [100, 101, 102, 110] } });
  const [bridge] = config.bridges;
  assert.deepEqual(
    { ...bridge, ports: undefined },
    {
      name: "weir0",
      datapath: "auto",
      mode: "switch",
      failMode: "standalone",
      macAgingMs: 120_000,
      macTableSize: 8192,
      dropMalformed: false,
      sampling: { rate: 400, header: 128 },
      ports: undefined,
    },
  );
  assert.deepEqual(
    bridge!.ports.map((port) => port.name),
    ["web1", "{device}", "up", "gen.acme-web1", "gen.acme-db1"],
  );
  assert.deepEqual(bridge!.ports[0], {
    name: "web1",
    type: "netdev",
    enabled: true,
    options: { match: { mac: "52:54:00:12:34:56" }, takeOver: false },
    origin: "config",
    vlan: { mode: "access", tag: 100 },
    owner: { tenant: "acme", vm: "web1", labels: { rack: "7" } },
    sampling: { rate: 10 },
  });
  assert.deepEqual(bridge!.ports[2]!.vlan, { mode: "nativeTagged", tag: 7, trunks: [7, 100, 101, 200] });
  assert.equal(bridge!.ports[2]!.enabled, false);
  assert.deepEqual(bridge!.ports[4], {
    name: "gen.acme-db1",
    entry: "gen",
    type: "traffic",
    enabled: true,
    options: { profile: "tenants", seed: 1, rate: 2000, index: 1 },
    origin: "config",
    vlan: { mode: "access", tag: 100 },
    owner: { tenant: "acme", vm: "acme-db1" },
  });
  assert.deepEqual(config.exporters, [
    {
      name: "nf",
      type: "netflow-v5",
      collectors: ["127.0.0.1:2055", "[::1]:9995", "nfdump:2056"],
      bridges: ["weir0"],
      options: { engineId: 0 },
    },
    {
      name: "influx",
      type: "influx",
      collectors: [],
      bridges: [],
      options: { url: "http://127.0.0.1:8086", interval: 10_000 },
    },
  ]);
});

test("every error at once, in the order of the file, each with its place and path", async () => {
  await rejects(
    `flows:
  idleTimeout: 15
  max: 1.5
bridge: []
bridges:
  - name: weir0
    macAgeing: 60s
    mode: swich
    ports:
      - name: web1
        type: netdev
        vlan: { mode: access, tag: 5000 }
      - name: web1
        type: netdev
        vlan: { mode: trnuk, trunks: all }
        devcie: eth0
      - type: tapp
        name: a-name-that-is-too-long
      - name: web3
exporters:
  - type: netflow-v5
    collectors: [127.0.0.1:99999]
    engineId: 300
`,
    `weir.yaml:2:16 flows.idleTimeout: 15 has no unit: write 15s (s ms m h d)`,
    `weir.yaml:3:8 flows.max: 1.5 is not a whole number`,
    `weir.yaml:4:1 bridge: unknown key (did you mean "bridges"?)`,
    `weir.yaml:7:5 bridges[0].macAgeing: unknown key (did you mean "macAging"?)`,
    `weir.yaml:8:11 bridges[0].mode: "swich" is not one of switch, observe (did you mean "switch"?)`,
    `weir.yaml:12:36 bridges[0].ports[0].vlan.tag: 5000 is not a VLAN id (1..4094)`,
    `weir.yaml:13:15 bridges[0].ports[1].name: the port "web1" is there already, at weir.yaml:10:15`,
    `weir.yaml:15:23 bridges[0].ports[1].vlan.mode: "trnuk" is not one of access, trunk, nativeTagged, nativeUntagged (did you mean "trunk"?)`,
    `weir.yaml:16:9 bridges[0].ports[1].devcie: unknown key (did you mean "device"?)`,
    `weir.yaml:17:15 bridges[0].ports[2].type: "tapp" is not a type of port; known: netdev, replay, traffic`,
    `weir.yaml:18:15 bridges[0].ports[2].name: "a-name-that-is-too-long" has 23 characters, a name 1 to 15`,
    `weir.yaml:19:9 bridges[0].ports[3].type: required: text`,
    `weir.yaml:22:18 exporters[0].collectors[0]: 127.0.0.1:99999: "99999" is not a port (1 to 65535)`,
    `weir.yaml:23:15 exporters[0].engineId: 300 is out of range: at most 255`,
  );
});

test("YAML traps: the error shows the quoted form", async () => {
  await rejects(
    port(`match: { mac: 52:54:00:12:34:56 }`),
    `weir.yaml:1:74 bridges[0].ports[0].match.mac: YAML reads 52:54:00:12:34:56 as the number 41135085296: write "52:54:00:12:34:56"`,
  );
  await rejects(`host: { name: 0123 }`, `weir.yaml:1:15 host.name: YAML reads 0123 as the number 123: write "0123"`);
  await rejects(`host: { name: no }`, `weir.yaml:1:15 host.name: YAML reads no as the boolean false: write "no"`);
  await rejects(`host: { name: 1e3 }`, `weir.yaml:1:15 host.name: YAML reads 1e3 as the number 1000: write "1e3"`);
  await rejects(
    `bridges: [{ name: null }]`,
    `weir.yaml:1:19 bridges[0].name: YAML reads null as nothing: write "null"`,
  );
  await rejects(`tenants: { no: {} }`, `weir.yaml:1:12 tenants: YAML reads the key no as false: write "no"`);
  await rejects(`tenants: { 7: {} }`, `weir.yaml:1:12 tenants: YAML reads the key 7 as 7: write "7"`);
  const exporter = (collectors: string) => `exporters: [{ type: netflow-v5, collectors: ${collectors} }]`;
  await rejects(
    exporter(`[[::1]:2055]`),
    `weir.yaml:1:46 exporters[0].collectors[0]: a map or a list cannot be a key: write "[::1]:2055" if it is text`,
  );
  await rejects(exporter(`[::1]:2055`), `weir.yaml:1:50 write the value in quotes: "[::1]:2055"`);
  await rejects(
    `exporters:\n  - type: netflow-v5\n    collectors: [::1]:2055\n`,
    `weir.yaml:3:22 write the value in quotes: "[::1]:2055"`,
  );
  await rejects(
    exporter(`[nfdump: 2055]`),
    `weir.yaml:1:46 exporters[0].collectors[0]: YAML reads nfdump: 2055 as a map: write "nfdump:2055"`,
  );
  await rejects(
    exporter(`[10:20]`),
    `weir.yaml:1:46 exporters[0].collectors[0]: YAML reads 10:20 as the number 620: write "10:20"`,
  );
  await rejects(
    `bridges: [{ name: weir0, ports: [{ type: netdev, name: {device} }] }]`,
    `weir.yaml:1:56 bridges[0].ports[0].name: YAML reads {device} as a map: write "{device}"`,
  );
  await rejects(
    port(`vlan: { mode: access, tag: 0100 }`),
    `weir.yaml:1:87 bridges[0].ports[0].vlan.tag: 0100 has leading zeros, octal to some: write 100, or "0100" if it is text`,
  );
  await rejects(
    port(`owner: { vm: on }`),
    `weir.yaml:1:73 bridges[0].ports[0].owner.vm: YAML reads on as the boolean true: write "on"`,
  );
});

test("the API on TCP: addresses, tokens; whom others can reach says who may ask, and not in clear", async () => {
  const { api } = await load(
    `api: { listen: ["127.0.0.1:8380", "[::1]:0"], tokens: [{ name: noc, file: /etc/weir/noc.token }] }`,
  );
  assert.deepEqual(api.listen, [
    { host: "127.0.0.1", port: 8380 },
    { host: "::1", port: 0 },
  ]);
  assert.deepEqual(api.tokens, [{ name: "noc", role: "viewer", file: "/etc/weir/noc.token" }]);
  await rejects(
    `api: { listen: ["localhost:8380"], tokens: [{ name: noc }], tls: { cert: a } }`,
    `weir.yaml:1:17 api.listen[0]: write ADDRESS:PORT, as "127.0.0.1:8380"`,
    `weir.yaml:1:45 api.tokens[0]: write either file or sha256`,
    `weir.yaml:1:61 api.tls.key: required: text`,
    `weir.yaml:1:74 api.tls.cert: write the whole path, from /`,
  );
  for (const [more, missing] of [
    ["", "tls and tokens"],
    [", insecure: true", "tokens"],
    [`, tokens: [{ name: a, sha256: ${"0".repeat(64)} }]`, "tls"],
  ] as const)
    assert.match((await problems(`api: { listen: ["0.0.0.0:8380"]${more} }`)).join(), new RegExp(`give ${missing},`));
  assert.deepEqual(await problems(`api: { listen: [] }\nbridges: [{ name: b, mirrors: [] }]`), []);
});

test("a mirror selects something and sends it somewhere", async () => {
  const bridge = (mirror: string): string => `bridges: [{ name: b, mirrors: [{ name: m, ${mirror} }] }]`;
  const out = "outputs: [{ type: span, port: mon0 }]";
  const [{ mirrors } = {}] = (await load(bridge(`select: { owners: [{ vm: web1 }], vlans: [100-102] }, ${out}`)))
    .bridges;
  assert.deepEqual(mirrors, [
    {
      name: "m",
      select: {
        all: false,
        ports: [],
        owners: [{ vm: "web1" }],
        vlans: [100, 101, 102],
        direction: "both",
        dropped: "include",
      },
      outputs: [{ type: "span", port: "mon0" }],
      snaplen: 0,
      sample: 1,
      limit: { pps: 0, bps: 0, durationMs: 0, packets: 0 },
    },
  ]);
  for (const [mirror, message] of [
    [`select: {}, ${out}`, /select.*selects nothing/],
    [`select: { all: true }, outputs: []`, /outputs.*somewhere to go/],
    [`select: { all: true }, ${out}, limit: { rate: 10 }`, /limit\.rate.*10pps/],
    [`select: { all: true }, outputs: [{ type: rspan, vlan: 5000 }]`, /vlan.*5000 is not a VLAN id/],
    [`select: { all: true }, outputs: [{ type: erspan, remote: "h:1" }]`, /remote.*without a port: GRE has none/],
    [`select: { all: true }, outputs: [{ type: erspan, remote: h, hardware: 3 }]`, /write erspanType: III/],
    [`select: { all: true }, outputs: [{ type: erspan, remote: h, session: 1024 }]`, /session/],
  ] as const)
    assert.match((await problems(bridge(mirror))).join("\n"), message, mirror);
});

test("the kernel datapath has ports on devices only", async () => {
  const bridge = (datapath: string, type: string): string =>
    `bridges: [{ name: b, datapath: ${datapath}, ports: [{ name: p, type: ${type}${type === "netdev" ? ", device: eth1" : ""} }] }]`;
  await rejects(
    bridge("kernel", "traffic"),
    `weir.yaml:1:65 bridges[0].ports[0].type: the kernel datapath has ports of type netdev and tap only; write datapath: auto or userspace for this bridge`,
  );
  assert.deepEqual(await problems(bridge("kernel", "netdev")), []);
  assert.deepEqual(await problems(bridge("auto", "traffic")), []);
});

test("names, numbers, devices and identities are there once", async () => {
  await rejects(
    `tenants: { acme: { vlans: [100-109] }, globex: { vlans: [105] } }
bridges:
  - name: weir0
    ports:
      - { name: a, type: netdev, device: eth1, ifIndex: 7 }
      - { name: b, type: netdev, device: eth1, ifIndex: 7 }
      - { name: gen.acme-web1, type: netdev, match: { mac: "52:54:00:00:00:01" } }
      - { name: gen, type: traffic }
      - { name: much-too-long, type: traffic }
      - { name: "{device}", type: netdev, match: { device: "vnet*" } }
      - { name: "{device}", type: netdev, match: { device: "tap*" }, ifIndex: 9 }
  - name: weir0
    ports: [{ name: c, type: netdev, match: { mac: "52-54-00-00-00-01" } }]
exporters:
  - { type: netflow-v5, collectors: [c1, c1] }
  - { type: netflow-v5, collectors: [c1] }
  - { name: nf2, type: netflow-v5, collectors: ["c1:2055"], bridges: [weir1] }
  - { name: nf3, type: netflow-v5, collectors: [c1], engineId: 1 }
  - { name: nf4, type: netflow-v5 }
`,
    `weir.yaml:1:58 tenants.globex.vlans[0]: VLAN 105 belongs to tenant acme already`,
    `weir.yaml:6:42 bridges[0].ports[1].device: eth1 is claimed by the port at weir.yaml:5:42`,
    `weir.yaml:6:57 bridges[0].ports[1].ifIndex: ifIndex 7 is taken at weir.yaml:5:57`,
    `weir.yaml:8:17 bridges[0].ports[3].name: the port "gen.acme-web1" is there already, at weir.yaml:7:17`,
    `weir.yaml:9:17 bridges[0].ports[4].name: much-too-long makes the port much-too-long.acme-web1, longer than 15 characters: give it a shorter name`,
    `weir.yaml:11:79 bridges[0].ports[6].ifIndex: this entry makes many ports; each has its own ifIndex`,
    `weir.yaml:12:11 bridges[1].name: the bridge "weir0" is there already, at weir.yaml:3:11`,
    `weir.yaml:13:52 bridges[1].ports[0].match.mac: 52-54-00-00-00-01 is claimed by the port at weir.yaml:7:60`,
    `weir.yaml:15:42 exporters[0].collectors[1]: c1:2055 is listed twice`,
    `weir.yaml:16:13 exporters[1].type: the exporter "netflow-v5" is there already, at weir.yaml:15:13: give this one another name`,
    `weir.yaml:17:49 exporters[2].collectors[0]: netflow-v5 at weir.yaml:15:38 sends to c1:2055 as the same engine 0/0: the collector could not tell them apart`,
    `weir.yaml:17:71 exporters[2].bridges[0]: there is no bridge "weir1" (did you mean "weir0"?)`,
    `weir.yaml:19:5 exporters[4].collectors: required: who receives this, as ["127.0.0.1:2055"]`,
  );
});

test("include joins lists and tenants; one name twice names both places", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "weir-conf-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "weir.yaml");
  mkdirSync(join(folder, "weir.d"));
  writeFileSync(file, `include: weir.d/*.yaml\ntenants: { acme: {} }\nexporters: [{ type: influx, url: u }]\n`);
  writeFileSync(join(folder, "weir.d", "b.yaml"), `bridges: [{ name: b }]\ntenants: { globex: { vlans: [7] } }\n`);
  writeFileSync(
    join(folder, "weir.d", "a.yaml"),
    `bridges: [{ name: a }]\nexporters: [{ type: netflow-v5, collectors: [c] }]\n`,
  );
  writeFileSync(join(folder, "weir.d", "a.yaml~"), `not read`);
  const loaded = await loadConfig(file, registries, host);
  assert.deepEqual(
    loaded.config.bridges.map((bridge) => bridge.name),
    ["a", "b"],
  );
  assert.deepEqual(
    loaded.config.exporters.map((exporter) => exporter.name),
    ["influx", "netflow-v5"],
  );
  assert.deepEqual(Object.keys(loaded.config.tenants), ["acme", "globex"]);
  assert.deepEqual(loaded.files, [file, join(folder, "weir.d/a.yaml"), join(folder, "weir.d/b.yaml")]);
  assert.match(loaded.sha256, /^[0-9a-f]{64}$/);
  assert.equal(loaded.baseDir, folder);

  const c = join(folder, "weir.d", "c.yaml");
  writeFileSync(
    c,
    `bridges: [{ name: a, ports: [{ name: x }] }]\ntenants: { acme: {} }\nexporters: {}\ninclude: d.yaml\nbridgez: 1\n`,
  );
  const error = await loadConfig(file, registries, host).catch((error) => error);
  assert.ok(error instanceof ConfigError);
  assert.deepEqual(error.message.split("\n"), [
    `${c}:1:19 bridges[0].name: the bridge "a" is there already, at ${join(folder, "weir.d/a.yaml")}:1:19`,
    `${c}:1:30 bridges[0].ports[0].type: required: text`,
    `${c}:2:12 tenants.acme: is there already, at ${file}:2:12`,
    `${c}:3:1 exporters: said already at ${file}:3:1`,
    `${c}:4:1 include: an included file cannot include others`,
    `${c}:5:1 bridgez: unknown key (did you mean "bridges"?)`,
  ]);
  writeFileSync(file, `include: [missing.yaml, "*/x.yaml", none.d/*.yaml]\n`);
  const second = await loadConfig(file, registries, host).catch((error) => error);
  assert.deepEqual(second.message.split("\n"), [
    `${file}:1:11 include[0]: ${join(folder, "missing.yaml")}: no such file`,
    `${file}:1:25 include[1]: */x.yaml: only the last part of an include may be a pattern, as in weir.d/*.yaml`,
  ]);
});

test("a file that cannot be read says so without a position", async () => {
  const message = async (path: string) =>
    String((await loadConfig(path, registries, host).catch((error) => error)).message);
  assert.equal(await message("/nowhere/weir.yaml"), "/nowhere/weir.yaml: no such file");
  assert.equal(await message("/"), "/: is a directory, not a file");
  assert.equal(await message("/dev/zero"), "/dev/zero: larger than 1 MiB");
  assert.equal(await message("/dev/null"), "undefined");
});

test("hostile documents: bounded in depth, size and expansion", async () => {
  const bomb = ["a: &a [x,x,x,x,x,x,x,x,x,x]"];
  for (let i = 1; i < 12; i++) {
    const before = String.fromCharCode(96 + i);
    bomb.push(
      `${String.fromCharCode(97 + i)}: &${String.fromCharCode(97 + i)} [${Array(10).fill(`*${before}`).join(",")}]`,
    );
  }
  assert.match((await problems(bomb.join("\n")))[0]!, /more than 200000 values, aliases expanded|unknown key/);
  assert.ok((await problems(bomb.join("\n"))).some((line) => /more than 200000 values/.test(line)));
  for (const text of [
    "[".repeat(500_000),
    "- ".repeat(300_000),
    "{a: ".repeat(200_000),
    "? ".repeat(300_000),
    `${" ".repeat(5000)}a: 1`,
  ])
    assert.match((await problems(text)).join(), /nested deeper than 32 levels/);
  assert.match((await problems("#".repeat(2_000_000)))[0]!, /larger than 1 MiB/);
  assert.match((await problems("a: &a [*a]"))[0]!, /\*a refers to itself/);
  assert.match((await problems("host: { name: *x }"))[0]!, /1:15 \*x refers to no anchor: write "\*x"/);
  assert.match((await problems("a: 1\n---\nb: 2"))[0]!, /a second document/);
  assert.match((await problems("%YAML 1.1\n---\na: 1"))[0]!, /%YAML 1.1/);
  assert.match(
    (await problems("host: { name: a, name: b }"))[0]!,
    /1:18 host.name: the key is there already, at line 1/,
  );
  assert.match((await problems("- a"))[0]!, /a configuration is a map/);
  assert.match((await problems("__proto__: { polluted: true }"))[0]!, /__proto__ is not a name/);
  assert.match((await problems("tenants: { __proto__: { vlans: [5000] } }"))[0]!, /__proto__/);
  assert.equal(({} as any).polluted, undefined);
});
