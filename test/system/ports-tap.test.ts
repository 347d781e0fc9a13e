/** tap and internal ports: the two ends of a tap, one given to a VM, the other to the host. */
import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { libc } from "../../src/sys/libc.ts";
import { findLink } from "../../src/sys/links.ts";
import { openTap } from "../../src/sys/tun.ts";
import { VNET_HEADER_BYTES } from "../../src/wire/vnet.ts";
import { forward } from "../helpers/forward.ts";
import { needs, needsRoot } from "../helpers/needs.ts";
import { pings, sendFile } from "../helpers/netns-traffic.ts";
import { type Guest, guests, sh, start, tryInside } from "../helpers/netns.ts";

const name = (kind: string): string => `w${kind}${process.pid.toString(36)}`;

test("internal: the host and a guest, TCP with default offloads both ways", async (t) => {
  if (!needsRoot(t) || !needs(t, "ip", "tc", "ping", "/dev/net/tun")) return;
  const [guest] = guests(t, 1, { net: 78 }) as [Guest];
  const device = name("i");
  const mac = "02:00:00:00:99:01";
  const options = { device, mac, addresses: ["10.78.0.100/24", "2001:db8::100/64"] };
  const forwarder = await forward(t, [
    { type: "netdev", name: "guest", options: { device: guest.device } },
    { type: "internal", name: "host", options },
  ]);
  assert.equal(findLink(device)!.mac, mac);
  assert.ok(pings(guest, "10.78.0.100"));
  await sendFile(t, guest, undefined, "10.78.0.100", 24 << 20);
  await sendFile(t, undefined, guest, guest.ip, 24 << 20);
  const counts = await forwarder.counts();
  assert.ok(counts[0]!.gso > 50 && counts[1]!.gso > 50, `TSO frames both ways: ${counts[0]!.gso}, ${counts[1]!.gso}`);
  assert.equal(counts[0]!.refused, 0);
  const [, host] = await forwarder.status();
  assert.deepEqual([host!.state, host!.device, host!.mac, host!.mtu], ["up", device, mac, 1500]);
  await forwarder.stop();
  assert.equal(findLink(device), undefined, "the interface ends with the port");
});

/** Frames that a VM reads from its end, without the virtio-net header. */
function drain(fd: number): Uint8Array[] {
  const frames: Uint8Array[] = [];
  const buffer = new Uint8Array(70_000);
  for (let got = 0; (got = libc().read(fd, buffer, buffer.length)) > 0;)
    frames.push(buffer.slice(VNET_HEADER_BYTES, got));
  return frames;
}

async function tapBed(t: TestContext) {
  const [guest] = guests(t, 1, { net: 79 }) as [Guest];
  const device = name("t");
  t.after(() => findLink(device) && sh("ip", "link", "del", device));
  const forwarder = await forward(t, [
    { type: "netdev", name: "guest", options: { device: guest.device } },
    { type: "tap", name: "vm", options: { device } },
  ]);
  const becomes = async (wanted: string): Promise<void> => {
    for (let tries = 0; (await forwarder.status())[1]!.state !== wanted; tries++) {
      assert.ok(tries < 100, `the tap is ${JSON.stringify((await forwarder.status())[1])}`);
      await sleep(50);
    }
  };
  return { guest, device, forwarder, becomes };
}

test("tap: made for a VM, down until one opens it, gone with the port", async (t) => {
  if (!needsRoot(t) || !needs(t, "ip", "tc", "/dev/net/tun")) return;
  const { guest, device, forwarder, becomes } = await tapBed(t);
  await becomes("down");
  assert.equal((await forwarder.status())[1]!.message, `no VM has opened ${device}`);
  sh("ip", "link", "set", device, "txqueuelen", "20");
  const vm = openTap(device);
  await becomes("up");
  // The guest asks for an address: the VM sees the ARP request.
  tryInside(guest, "ping", "-c", "1", "-W", "1", "10.79.0.50");
  const requests = drain(vm).filter((frame) => frame[12] === 8 && frame[13] === 6 && frame[41] === 50);
  assert.ok(requests.length > 0, "an ARP request reached the VM");
  // What the VM writes reaches the guest: an answer, and the guest knows it.
  const answer = new Uint8Array(VNET_HEADER_BYTES + 60);
  const mac = [2, 0, 0, 0, 0, 9];
  answer.set([2, 0, 0, 0, 0, 1, ...mac, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2, ...mac, 10, 79, 0, 50], VNET_HEADER_BYTES);
  answer.set([2, 0, 0, 0, 0, 1, 10, 79, 0, 1], VNET_HEADER_BYTES + 32);
  const ping = start(t, guest, "ping", "-c", "2", "-W", "1", "10.79.0.50");
  await sleep(200);
  libc().write(vm, answer, answer.length);
  await ping.ended;
  assert.match(sh("ip", "-n", guest.namespace, "neigh", "show", "10.79.0.50"), /02:00:00:00:00:09/);
  // A VM that does not read: its queue overflows, and that is the tap's loss.
  tryInside(guest, "ping", "-q", "-f", "-c", "200", "-W", "1", "10.79.0.50");
  await sleep(600);
  const [, status] = await forwarder.status();
  assert.ok(status!.lost.tap > 0, JSON.stringify(status!.lost));
  assert.equal(status!.lost.qdisc, 0);
  libc().close(vm);
  await becomes("down");
  await forwarder.stop();
  assert.equal(findLink(device), undefined);
});

test("tap: one that a VM has open outlives the port", async (t) => {
  if (!needsRoot(t) || !needs(t, "ip", "tc", "/dev/net/tun")) return;
  const { device, forwarder, becomes } = await tapBed(t);
  const vm = openTap(device);
  await becomes("up");
  await forwarder.stop();
  assert.ok(findLink(device), "the VM keeps its NIC");
  libc().close(vm);
  assert.ok(findLink(device), "and it is there for the next start");
});
