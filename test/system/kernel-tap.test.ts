/** `auto` takes the kernel where there is a tap as well: a VM opens it, and hears and answers the guest on veth. */
import assert from "node:assert/strict";
import test from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { PortJson, SystemJson } from "../../src/bridge/views/json.ts";
import type { List } from "../../src/cli/render/context.ts";
import { findLink } from "../../src/sys/links.ts";
import { kernelAvailable } from "../helpers/kernel-harness.ts";
import { needs } from "../helpers/needs.ts";
import { guests, start, tryInside, type Guest } from "../helpers/netns.ts";
import { openVm } from "../helpers/tap-ends.ts";
import { startWeir, weirHome } from "../helpers/weir-process.ts";

test("auto: a tap and a netdev are the kernel's", { timeout: 60_000 }, async (t) => {
  if (!kernelAvailable(t) || !needs(t, "ip", "ping", "/dev/net/tun")) return;
  const [guest] = guests(t, 1, { net: 81 }) as [Guest];
  const home = weirHome(t);
  const device = `wk${process.pid.toString(36)}`;
  home.write({
    bridges: [
      {
        name: "weir0",
        datapath: "auto",
        ports: [
          { name: "guest", type: "netdev", device: guest.device },
          { name: device, type: "tap" },
        ],
      },
    ],
  });
  const weir = await startWeir(t, home);
  const system = weir.json<SystemJson>("show", "system");
  assert.deepEqual(
    system.bridges.map(({ datapath }) => datapath),
    ["kernel"],
  );
  const tap = (): PortJson => weir.json<List<PortJson>>("show", "ports").items.find(({ name }) => name === device)!;
  assert.deepEqual([tap().state, tap().message], ["down", `no VM has opened ${device}`]);
  const vm = openVm(device);
  t.after(() => vm.close());
  for (let tries = 0; tap().state !== "up"; tries++) {
    assert.ok(tries < 50, JSON.stringify(tap()));
    await sleep(100);
  }
  // An ARP request reaches the VM; what it answers reaches the guest.
  tryInside(guest, "ping", "-c", "1", "-W", "1", "10.81.0.50");
  const asked = vm.received().filter((frame) => frame[12] === 8 && frame[13] === 6 && frame[41] === 50);
  assert.ok(asked.length > 0, "the VM was asked for its address");
  const mac = [2, 0, 0, 0, 0, 9];
  const answer = new Uint8Array(60);
  answer.set([2, 0, 0, 0, 0, 1, ...mac, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2, ...mac, 10, 81, 0, 50]);
  answer.set([2, 0, 0, 0, 0, 1, 10, 81, 0, 1], 32);
  const ping = start(t, guest, "ping", "-c", "2", "-W", "1", "10.81.0.50");
  await sleep(200);
  vm.send(answer);
  await ping.ended;
  const echo = vm.received().filter((frame) => frame[12] === 8 && frame[13] === 0 && frame[23] === 1);
  assert.ok(echo.length > 0, "the guest knows the VM by its answer, and pings it");
  assert.equal(tap().rxPackets, 1);
  vm.close();
  assert.equal(await weir.stop(), 0);
  assert.equal(findLink(device), undefined, "the tap goes with the switch");
});
