/** The suite of all ports (test/conformance/port.ts), on devices: each port faces the other end of a cable or a tap. */
import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import capture from "../../src/ports/capture/index.ts";
import internal from "../../src/ports/internal/index.ts";
import netdev from "../../src/ports/netdev/index.ts";
import { createBatch, type Port, type PortType } from "../../src/ports/port.ts";
import tap from "../../src/ports/tap/index.ts";
import { libc } from "../../src/sys/libc.ts";
import { findLink } from "../../src/sys/links.ts";
import { openTap } from "../../src/sys/tun.ts";
import { VNET_HEADER_BYTES } from "../../src/wire/vnet.ts";
import { portConformance, realClock } from "../conformance/port.ts";
import { needs, needsRoot } from "../helpers/needs.ts";
import { sh } from "../helpers/netns.ts";

let serial = 0;

function open(type: PortType, options: Record<string, unknown>): Port {
  return type.open(type.schema.parse(options), { name: "port", bridge: "test", baseDir: ".", nowNs: 0 });
}

/** A cable in this namespace that nobody else talks on. */
function cable(t: TestContext): [string, string] {
  const id = `${process.pid.toString(36)}${(serial++).toString(36)}`;
  const ends: [string, string] = [`wc${id}a`, `wc${id}b`];
  sh("ip", "link", "add", ends[0], "type", "veth", "peer", "name", ends[1]);
  t.after(() => sh("ip", "link", "del", ends[0]));
  for (const end of ends) {
    sh("sysctl", "-qw", `net.ipv6.conf.${end}.disable_ipv6=1`);
    sh("ip", "link", "set", end, "up");
  }
  return ends;
}

const experimental = (n: number): Uint8Array => {
  // IEEE local experimental Ethertype 88b5: nobody answers it.
  const bytes = new Uint8Array(60 + n).fill(n);
  bytes.set([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
  return bytes;
};
const expected = Array.from({ length: 20 }, (_, n) => experimental(n));

function sendAll(far: Port): void {
  for (const bytes of expected) assert.ok(far.transmit(bytes, 0, bytes.length, bytes.length, false));
  far.flush();
}

/** What arrived at the far end, of what the suite sends (other frames on the cable: none). */
async function received(far: Port): Promise<Uint8Array[]> {
  await sleep(20);
  const batch = createBatch(64);
  const count = far.receive(batch, 0);
  return Array.from({ length: count }, (_, n) =>
    batch.bytes.slice(batch.offset[n], batch.offset[n]! + batch.captured[n]!),
  );
}

portConformance("netdev", (t) => {
  if (!needsRoot(t) || !needs(t, "ip")) return undefined;
  const [near, farEnd] = cable(t);
  const port = open(netdev, { device: near });
  const far = open(netdev, { device: farEnd });
  t.after(() => far.close());
  sendAll(far);
  return { port, expected, clock: realClock(), sent: () => received(far) };
});

portConformance("capture", async (t) => {
  if (!needsRoot(t) || !needs(t, "ip")) return undefined;
  const [near, farEnd] = cable(t);
  const port = open(capture, { device: near });
  t.after(() => port.close());
  const far = open(netdev, { device: farEnd });
  t.after(() => far.close());
  await isUp(port);
  sendAll(far);
  return { port, expected, clock: realClock(), receiveOnly: true };
});

async function isUp(port: Port, wanted = "up"): Promise<void> {
  const batch = createBatch(1);
  const { now } = realClock();
  for (let tries = 0; port.status().state !== wanted; tries++) {
    assert.ok(tries < 500, JSON.stringify(port.status()));
    assert.equal(port.receive(batch, now()), 0);
    await sleep(20);
  }
}

test("capture: filters; a filter that is none; a device that is not there", async (t) => {
  if (!needsRoot(t) || !needs(t, "ip")) return;
  const [near, farEnd] = cable(t);
  const filtered = open(capture, { device: near, filter: "len > 70" });
  const bad = open(capture, { device: near, filter: "no such word" });
  const absent = open(capture, { device: "weir-no-device" });
  const far = open(netdev, { device: farEnd });
  t.after(() => [filtered, bad, absent, far].forEach((port) => port.close()));
  await isUp(filtered);
  await isUp(bad, "failed");
  assert.match(bad.status().message!, /syntax error|filter/i);
  assert.deepEqual([absent.status().state, absent.status().message], ["absent", "waiting for device weir-no-device"]);
  sendAll(far);
  const batch = createBatch(64);
  const lengths: number[] = [];
  for (let tries = 0; tries < 100 && lengths.length < 9; tries++) {
    const count = filtered.receive(batch, 0);
    for (let n = 0; n < count; n++) lengths.push(batch.length[n]!);
    await sleep(10);
  }
  assert.deepEqual(lengths, [71, 72, 73, 74, 75, 76, 77, 78, 79]);
  assert.equal(filtered.transmit(expected[0]!, 0, 60, 60, false), false);
});

/** The far end of a tap or an internal port: a descriptor's reader, or packets on the interface. */
portConformance("tap", (t) => {
  if (!needsRoot(t) || !needs(t, "ip", "/dev/net/tun")) return undefined;
  const device = `wc${process.pid.toString(36)}t`;
  const port = open(tap, { device });
  sh("sysctl", "-qw", `net.ipv6.conf.${device}.disable_ipv6=1`);
  const vm = openTap(device);
  let isOpen = true;
  t.after(() => {
    if (isOpen) libc().close(vm);
    isOpen = false;
    if (findLink(device)) sh("ip", "link", "del", device);
  });
  // It has a carrier now; the port looks twice a second.
  port.receive(createBatch(1), 10e9);
  assert.equal(port.status().state, "up");
  for (const bytes of expected) {
    const frame = new Uint8Array(VNET_HEADER_BYTES + bytes.length);
    frame.set(bytes, VNET_HEADER_BYTES);
    assert.equal(libc().write(vm, frame, frame.length), frame.length);
  }
  const sent = (): Uint8Array[] => {
    const buffer = new Uint8Array(70_000);
    const frames: Uint8Array[] = [];
    for (let got = 0; (got = libc().read(vm, buffer, buffer.length)) > 0;)
      frames.push(buffer.slice(VNET_HEADER_BYTES, got));
    return frames;
  };
  return { port, expected, clock: realClock(), sent };
});

portConformance("internal", (t) => {
  if (!needsRoot(t) || !needs(t, "ip", "/dev/net/tun")) return undefined;
  const device = `wc${process.pid.toString(36)}i`;
  sh("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1");
  t.after(() => sh("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=0"));
  const port = open(internal, { device });
  t.after(() => port.close());
  // The host's side of it, by another port.
  const far = open(netdev, { device });
  t.after(() => far.close());
  sendAll(far);
  return { port, expected, clock: realClock(), sent: () => received(far) };
});
