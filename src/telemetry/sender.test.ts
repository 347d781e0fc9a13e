/** The UDP sender against real sockets on loopback; names and clocks are given by the test. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { setTimeout as sleep } from "node:timers/promises";
import test from "node:test";
import type { TestContext } from "node:test";
import { MAX_DATAGRAM_BYTES, udpSender } from "./sender.ts";
import type { UdpSender, UdpSenderOptions } from "./sender.ts";

interface Receiver {
  readonly port: number;
  readonly got: Buffer[];
  readonly from: string[];
  /** Wait until `count` datagrams are here. */
  wait(count: number): Promise<void>;
  close(): Promise<void>;
}

async function receiver(t: TestContext, host = "127.0.0.1", port = 0): Promise<Receiver> {
  const socket = createSocket({ type: host.includes(":") ? "udp6" : "udp4", recvBufferSize: 8 << 20 });
  const got: Buffer[] = [];
  const from: string[] = [];
  let open = true;
  socket.on("message", (message, sender) => {
    got.push(message);
    from.push(sender.address);
  });
  await new Promise<void>((resolve) => socket.bind(port, host, resolve));
  const close = async (): Promise<void> => {
    if (!open) return;
    open = false;
    await new Promise<void>((resolve) => socket.close(() => resolve()));
  };
  t.after(close);
  return {
    port: socket.address().port,
    got,
    from,
    async wait(count) {
      for (let waited = 0; got.length < count && waited < 3000; waited += 5) await sleep(5);
      assert.equal(got.length, count);
    },
    close,
  };
}

function sender(t: TestContext, host: string, port: number, options: Partial<UdpSenderOptions> = {}): UdpSender {
  const made = udpSender({ host, port }, { now: Date.now, ...options });
  t.after(() => made.close());
  return made;
}

const datagram = (n: number, length = 100): Uint8Array => new Uint8Array(length).fill(n & 255);

test("what is sent arrives, in order, though the caller uses its buffer again", async (t) => {
  const to = await receiver(t);
  const out = sender(t, "127.0.0.1", to.port);
  const buffer = new Uint8Array(1464);
  for (let n = 0; n < 200; n++) {
    buffer.fill(n);
    assert.ok(out.send(buffer.subarray(0, 24 + n)));
  }
  assert.ok(await out.drain(3000));
  await to.wait(200);
  to.got.forEach((message, n) => {
    assert.equal(message.length, 24 + n);
    assert.ok(message.every((byte) => byte === n));
  });
  const { datagrams, bytes, sendErrors, queued, collector, source } = out.stats;
  assert.deepEqual({ datagrams, sendErrors, queued }, { datagrams: 200, sendErrors: 0, queued: 0 });
  assert.equal(bytes, 200 * 24 + (199 * 200) / 2);
  assert.equal(collector, `127.0.0.1:${to.port}`);
  assert.equal(source, "127.0.0.1");
});

test("IPv6, and a source address", async (t) => {
  const six = await receiver(t, "::1");
  const outSix = sender(t, "::1", six.port);
  outSix.send(datagram(1));
  await six.wait(1);
  assert.equal(outSix.stats.collector, `[::1]:${six.port}`);
  const four = await receiver(t);
  const outFour = sender(t, "127.0.0.1", four.port, { source: "127.0.0.2" });
  outFour.send(datagram(1));
  await four.wait(1);
  assert.deepEqual(four.from, ["127.0.0.2"]);
});

test("a full queue refuses, counts and says so; it never waits", async (t) => {
  const to = await receiver(t);
  const out = sender(t, "127.0.0.1", to.port, { queue: 16, now: () => 777 });
  const taken = Array.from({ length: 20 }, (_, n) => out.send(datagram(n)));
  assert.deepEqual(taken, [...Array(16).fill(true), false, false, false, false]);
  assert.equal(out.stats.sendErrors, 4);
  assert.match(out.stats.lastError!, /queue full/);
  assert.equal(out.stats.lastErrorMs, 777);
  assert.equal(out.ready, false);
  await out.writable();
  assert.equal(out.ready, true);
  await to.wait(16);
});

test("a datagram above the limit is refused", async (t) => {
  const out = sender(t, "127.0.0.1", 9);
  assert.equal(out.send(new Uint8Array(MAX_DATAGRAM_BYTES + 1)), false);
  assert.equal(out.stats.sendErrors, 1);
});

test("nobody listens: refusals are counted; when somebody does, not one datagram is lost to an old refusal", async (t) => {
  const gone = await receiver(t);
  await gone.close();
  const out = sender(t, "127.0.0.1", gone.port);
  for (let n = 0; n < 10; n++) {
    out.send(datagram(n));
    await sleep(2);
  }
  assert.ok(await out.drain(1000));
  await sleep(5);
  assert.match(out.stats.lastError!, /refused.*ECONNREFUSED/);
  assert.equal(out.stats.datagrams, 10, "each was given to the kernel");
  assert.equal(out.stats.sendErrors, 10, "and each was refused");
  out.send(datagram(10)); // refused too, but that is known only at the next
  const back = await receiver(t, "127.0.0.1", gone.port);
  for (let n = 0; n < 50; n++) out.send(datagram(n));
  await back.wait(50);
  assert.ok(back.got.every((message, n) => message[0] === n));
});

test("pace: waits rather than loses, and holds the rate", async (t) => {
  const to = await receiver(t);
  const out = sender(t, "127.0.0.1", to.port, { queue: 64, pace: 500 });
  const began = performance.now();
  for (let n = 0; n < 150; n++) {
    await out.writable();
    assert.ok(out.send(datagram(n)));
  }
  assert.ok(await out.drain(3000));
  const seconds = (performance.now() - began) / 1000;
  assert.ok(seconds > 0.26 && seconds < 1.5, `150 datagrams at 500/s took ${seconds} s`);
  await to.wait(150);
  assert.equal(out.stats.sendErrors, 0);
});

test("pace: a clock that is set back does not stop it", async (t) => {
  const to = await receiver(t);
  let offset = 0;
  const out = sender(t, "127.0.0.1", to.port, { pace: 1000, now: () => Date.now() + offset });
  out.send(datagram(0));
  await to.wait(1);
  offset = -3_600_000;
  for (let n = 1; n < 30; n++) out.send(datagram(n));
  await to.wait(30);
});

test("drain is bounded", async (t) => {
  const out = sender(t, "127.0.0.1", 9, { pace: 1 });
  for (let n = 0; n < 20; n++) out.send(datagram(n));
  assert.equal(await out.drain(30), false);
});

test("a name: what is sent meanwhile waits for the address", async (t) => {
  const to = await receiver(t);
  let answer: (address: string) => void = () => {};
  const resolve = (): Promise<string> => new Promise((found) => (answer = found));
  const out = sender(t, "collector.test", to.port, { resolve });
  out.send(datagram(1));
  await sleep(10);
  assert.equal(out.stats.queued, 1);
  answer("127.0.0.1");
  await to.wait(1);
  assert.equal(out.stats.collector, `collector.test:${to.port}`);
});

test("a name that does not resolve: sends are refused at once and counted, nobody hangs", async (t) => {
  const resolve = async (): Promise<string> => {
    throw Object.assign(new Error("no"), { code: "ENOTFOUND" });
  };
  const out = sender(t, "no.test", 2055, { resolve });
  out.send(datagram(1));
  await out.drain(1000);
  assert.equal(out.send(datagram(2)), false);
  await out.writable();
  assert.ok(await out.drain(0));
  assert.match(out.stats.lastError!, /no\.test:2055 does not resolve \(ENOTFOUND\)/);
  assert.ok(out.stats.sendErrors >= 2);
});

test("a resolver that does not answer: nobody waits for ever, and a late answer counts", async (t) => {
  const to = await receiver(t);
  let answer: (address: string) => void = () => {};
  const resolve = (): Promise<string> => new Promise((found) => (answer = found));
  const out = sender(t, "slow.test", to.port, { resolve, queue: 16, patienceMs: 20 });
  for (let n = 0; n < 16; n++) out.send(datagram(n));
  assert.equal(out.ready, false);
  await out.writable();
  assert.equal(out.send(datagram(1)), false);
  assert.match(out.stats.lastError!, /no answer from the resolver for slow\.test/);
  answer("127.0.0.1");
  await sleep(10);
  assert.ok(out.send(datagram(2)));
  await to.wait(1);
});

test("refresh: a name that moved is followed; one that fails then keeps its address", async (t) => {
  const first = await receiver(t, "127.0.0.1");
  const second = await receiver(t, "127.0.0.2", first.port);
  const answers: (string | Error)[] = ["127.0.0.1", "127.0.0.2", new Error("dns is down")];
  const resolve = async (): Promise<string> => {
    const answer = answers.shift()!;
    if (answer instanceof Error) throw answer;
    return answer;
  };
  const out = sender(t, "collector.test", first.port, { resolve });
  out.send(datagram(1));
  await first.wait(1);
  out.refresh();
  await sleep(20);
  out.send(datagram(2));
  await second.wait(1);
  out.refresh();
  await sleep(20);
  assert.match(out.stats.lastError!, /dns is down/);
  out.send(datagram(3));
  await second.wait(2);
});

test("a source of another IP version, or of another host, says so", async (t) => {
  const other = sender(t, "127.0.0.1", 9, { source: "::1" });
  const foreign = sender(t, "127.0.0.1", 9, { source: "192.0.2.77" });
  await sleep(20);
  assert.match(other.stats.lastError!, /not of the same IP version/);
  assert.match(foreign.stats.lastError!, /not one of this host/);
});

test("close: what is still queued counts as not sent, and later sends are refused", async () => {
  const out = udpSender({ host: "collector.test", port: 9 }, { now: Date.now, resolve: () => new Promise(() => {}) });
  out.send(datagram(1));
  await out.close();
  assert.equal(out.stats.sendErrors, 1);
  assert.equal(out.send(datagram(2)), false);
  await out.close();
});
