/** ERSPAN outputs without a network: names, errors, the path's MTU, what is never copied. Time is the test's. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { access, frame, MAC } from "../../test/conformance/mirror.ts";
import { LocalBed } from "../../test/helpers/local-bed.ts";
import { erspan, localHarness, MirrorBed } from "../../test/helpers/mirror-bed.ts";
import { EHOSTUNREACH, EINVAL, ENOBUFS, ENOPROTOOPT, EPERM, SystemError } from "../sys/libc.ts";
import { buildFrame } from "../wire/builder.ts";
import { GRE_SEQUENCE } from "../wire/erspan.ts";
import { readU32 } from "../wire/bytes.ts";

async function opened(t: { after(fn: () => Promise<void>): void }): Promise<MirrorBed> {
  const beds = new MirrorBed(localHarness(new LocalBed()));
  t.after(() => beds.close());
  await beds.harness.configure({ a: access(10), b: access(10) });
  return beds;
}

const select = { ports: ["a"], direction: "ingress" } as const;

test("a remote that does not answer is left alone for a while; the sequence tells what it missed", async (t) => {
  const beds = await opened(t);
  beds.start("m", { outputs: [erspan()], select });
  const one = (): Promise<unknown> => beds.send("a", frame(1, MAC(2)));
  const output = () => beds.json("m").outputs[0]!;
  await one();
  beds.tunnels.answer = EHOSTUNREACH;
  beds.tick(0);
  assert.deepEqual([output().state, output().lastError], ["failed", "no answer from 192.0.2.9 (EHOSTUNREACH)"]);
  await one();
  assert.deepEqual([output().sent, output().failed], [1, 1]);
  // MirrorBed.send ticks at 0: hand out without.
  const later = async (nowMs: number): Promise<void> => {
    beds.tick(nowMs);
    await beds.harness.send("a", frame(1, MAC(2)));
    beds.tick(nowMs);
  };
  await later(2100);
  assert.deepEqual([output().sent, output().state], [2, "failed"]);
  await later(7100);
  assert.deepEqual([output().sent, output().state, output().lastError], [3, "running", undefined]);
  beds.tunnels.error = ENOBUFS;
  await later(7200);
  assert.deepEqual([output().queueDropped, output().state], [1, "running"]);
  beds.tunnels.error = 0;
  await later(7300);
  // What was sent while it was left alone has no number; what the socket did not take has.
  assert.deepEqual(
    beds.tunnels.take().map((packet) => readU32(packet, GRE_SEQUENCE)),
    [0, 1, 2, 4],
  );
  beds.tunnels.answer = ENOPROTOOPT;
  beds.tick(7400);
  assert.equal(output().state, "running");
  assert.match(output().lastError!, /takes no GRE; a capture there sees the copies/);
  beds.tunnels.error = EINVAL;
  await later(7500);
  assert.equal(output().state, "failed");
  beds.tunnels.error = 0;
  beds.tick(12_600);
  assert.equal(beds.tunnels.opened.length, 2, "another socket: the route or our address may be gone");
  assert.equal(output().state, "running");
});

test("a name is resolved, again when it fails, and is another address then", async (t) => {
  const beds = await opened(t);
  beds.start("m", { outputs: [erspan({ remote: "collector.example" })], select });
  const output = () => beds.json("m").outputs[0]!;
  assert.equal(output().state, "waiting");
  await turn();
  assert.match(output().lastError!, /collector\.example: getaddrinfo ENOTFOUND/);
  beds.tunnels.names.set("collector.example", Uint8Array.of(192, 0, 2, 50));
  beds.tick(5100);
  await turn();
  assert.equal(output().state, "running");
  assert.deepEqual(beds.tunnels.opened.at(-1)!.remote, Uint8Array.of(192, 0, 2, 50));
  beds.tunnels.names.set("collector.example", Uint8Array.of(192, 0, 2, 51));
  beds.tick(310_000);
  await turn();
  assert.deepEqual(beds.tunnels.opened.at(-1)!.remote, Uint8Array.of(192, 0, 2, 51));
});

test("without the right to send raw IP a session is refused with the capability's name", async (t) => {
  const beds = await opened(t);
  beds.tunnels.open = () => {
    throw new SystemError("raw IP socket", EPERM);
  };
  for (const remote of ["192.0.2.9", "collector.example"])
    assert.throws(() => beds.start("m", { outputs: [erspan({ remote })], select }), /not permitted.*CAP_NET_RAW/);
  assert.equal(beds.keeper.find("m"), undefined);
});

test("ERSPAN to a remote is never copied, by any session, with a tag or without; other GRE is", async (t) => {
  const beds = await opened(t);
  await beds.harness.configure({ a: undefined, b: undefined });
  const all = beds.start("all", { select: { all: true } });
  const gre = (dst: string, type: number, tags: { vid: number }[] = []): Uint8Array => {
    const payload = Uint8Array.of(0x10, 0, type >> 8, type & 0xff, ...new Uint8Array(40));
    const ip = dst.includes(":") ? { src: "2001:db8::1", dst, proto: 47 } : { src: "192.0.2.1", dst, proto: 47 };
    return buildFrame({ ethSrc: MAC(1), ethDst: MAC(2), vlans: tags, ip, payload });
  };
  const copied = async (...frames: Uint8Array[]): Promise<number> => {
    for (const one of frames) await beds.send("a", one);
    return all.take().length;
  };
  const ours = [gre("192.0.2.9", 0x88be), gre("192.0.2.9", 0x22eb), gre("2001:db8::9", 0x22eb)];
  assert.equal(await copied(...ours), 3);
  beds.start("e", { outputs: [erspan(), erspan({ remote: "2001:db8::9" })], select });
  assert.equal(await copied(...ours), 0);
  assert.equal(await copied(gre("192.0.2.9", 0x6558), gre("192.0.2.8", 0x88be), gre("2001:db8::8", 0x88be)), 3);
  await beds.harness.configure({ a: { mode: "trunk", trunks: "all" }, b: undefined });
  assert.equal(await copied(gre("192.0.2.9", 0x88be, [{ vid: 10 }]), gre("2001:db8::9", 0x88be, [{ vid: 10 }])), 0);
  await beds.stop("e");
  beds.tick();
  assert.equal(await copied(gre("192.0.2.9", 0x88be, [{ vid: 10 }])), 1);
});
