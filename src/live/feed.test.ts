import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import test, { type TestContext } from "node:test";
import type { WebSocket } from "ws";
import { fakeSwitch, flows, NOW } from "../../test/helpers/fake-switch.ts";
import { Access, hashOf } from "../api/access.ts";
import type { SwitchView } from "../api/switch.ts";
import { Feed } from "./feed.ts";

/** A websocket's outside: what was sent, how it ended. */
class Socket extends EventEmitter {
  readonly OPEN = 1;
  readyState = 1;
  bufferedAmount = 0;
  readonly messages: Record<string, any>[] = [];
  readonly raw: unknown[] = [];
  pings = 0;
  closed: number | undefined;

  send(data: string): void {
    this.messages.push(JSON.parse(data) as Record<string, any>);
  }
  /** What is written past it: the frame of a text, whole. */
  write(frame: Buffer): void {
    assert.equal(frame[0], 0x81);
    const start = frame[1]! < 126 ? 2 : frame[1] === 126 ? 4 : 10;
    const length = start === 2 ? frame[1]! : start === 4 ? frame.readUInt16BE(2) : Number(frame.readBigUInt64BE(2));
    assert.equal(frame.length, start + length);
    this.raw.push(frame);
    this.messages.push(JSON.parse(frame.toString("utf8", start)) as Record<string, any>);
  }
  ping(): void {
    this.pings++;
  }
  close(code: number): void {
    this.closed = code;
    this.readyState = 3;
    this.emit("close");
  }
  terminate(): void {
    this.close(1006);
  }
  say(message: unknown): void {
    this.emit("message", Buffer.from(JSON.stringify(message)), false);
  }
  get last(): Record<string, any> {
    return this.messages.at(-1)!;
  }
}

/** A feed whose time is the test's. */
function start(t: TestContext, more: Partial<SwitchView> = {}) {
  t.mock.timers.enable({ apis: ["setInterval", "setTimeout"] });
  const reads: Record<string, number> = {};
  const plain = fakeSwitch(more);
  const view = new Proxy(plain, {
    get(target, name: keyof SwitchView) {
      const value = target[name];
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        reads[name] = (reads[name] ?? 0) + 1;
        return (value as (...args: unknown[]) => unknown).apply(target, args);
      };
    },
  });
  let nowMs = 0;
  const access = new Access();
  access.use([{ name: "noc", role: "operator", hash: hashOf("a-token-of-the-noc") }]);
  const feed = new Feed({ view, now: () => NOW + nowMs, uptime: () => nowMs, access });
  t.after(() => feed.close());
  const join = (subscription?: object): Socket => {
    const socket = new Socket();
    feed.attach(socket as unknown as WebSocket, socket, { role: "viewer" });
    if (subscription !== undefined) socket.say({ type: "subscribe", ...subscription });
    return socket;
  };
  /** Let what is due happen, in steps of 50 ms. */
  const pass = async (ms: number): Promise<void> => {
    for (let done = 0; done <= ms; done += 50) {
      for (let n = 0; n < 12; n++) await new Promise((resolve) => setImmediate(resolve));
      if (done === ms) break;
      nowMs += 50;
      t.mock.timers.tick(50);
    }
  };
  return { feed, view: plain, access, join, pass, reads };
}

test("a snapshot, then deltas in sequence: the parts that changed, written once for all of a stream", async (t) => {
  const { join, pass, view } = start(t);
  const [one, two] = [join({ intervalMs: 200 }), join({ intervalMs: 200 })];
  await pass(0);
  assert.deepEqual([one.last.type, one.last.seq, one.last.role], ["snapshot", 1, "viewer"]);
  assert.equal(one.last.flowsTotal, flows.length);
  view.events.publish({ kind: "port", message: "web1 up" }, NOW);
  await pass(200);
  assert.deepEqual(Object.keys(one.last).toSorted(), ["atMs", "epoch", "events", "seq", "type"]);
  assert.deepEqual([one.last.type, one.last.seq, one.last.events[0].message], ["delta", 2, "web1 up"]);
  assert.ok(one.raw.at(-1) === two.raw.at(-1), "the same bytes");
  await pass(1000);
  one.messages.forEach(({ seq }, n) => assert.equal(seq, n + 1));
});

test("100 clients with other filters each: parts are read once in a round, flows in one pass at a time", async (t) => {
  let passing = 0;
  const { join, pass, reads, feed } = start(t, {
    flowLists: async (choices) => {
      assert.equal(passing++, 0);
      await new Promise((resolve) => setImmediate(resolve));
      passing--;
      return choices.map(() => ({ items: [], total: 1 }));
    },
  });
  const clients = Array.from({ length: 100 }, (_, n) => join({ where: `dstPort=${n}`, intervalMs: 1000 }));
  for (let n = 0; n < 30; n++) await pass(0);
  assert.ok(clients.every(({ last }) => last.type === "snapshot"));
  for (const part of ["ports", "tenants", "drops", "exporters", "system", "mirrors", "audit"])
    assert.ok(reads[part]! <= 2, `${part} was read ${reads[part]} times`);
  assert.ok(reads["flowLists"]! <= 2);
  for (const socket of clients) socket.close(1000);
  const before = { ...reads };
  await pass(3000);
  assert.deepEqual(reads, before, "nobody watches: nothing is read");
  assert.equal(feed.size, 0);
});

test("who wants no flows has none made; a scope narrows; faults are told and change nothing", async (t) => {
  const { join, pass, reads } = start(t);
  const socket = join({ parts: ["ports", "sampling"], port: "web1" });
  await pass(0);
  assert.deepEqual(
    socket.last.ports.map(({ name }: { name: string }) => name),
    ["web1"],
  );
  assert.equal(socket.last.system, undefined);
  assert.equal(reads["flowLists"], undefined);
  for (const [wrong, message] of [
    [{ top: 0 }, /^top: 1 to 200$/],
    [{ intervalMs: 1 }, /^intervalMs: 200 to 60000$/],
    [{ parts: ["flow"] }, /^parts: a list of system, ports/],
    [{ whare: "x" }, /"whare": a subscription has no such key/],
    [{ port: 7 }, /names of 100/],
    [{ resume: { epoch: "x" } }, /^resume/],
  ] as const) {
    socket.say({ type: "subscribe", ...wrong });
    assert.match(String(socket.last.message), message);
  }
  await pass(1000);
  assert.equal(socket.last.type, "delta");
  const scoped = join({ port: "lab1", parts: ["flows", "flowsTotal"] });
  await pass(50);
  assert.equal(
    scoped.last.flowsTotal,
    flows.filter((flow) => flow.port === "lab1" || flow.output.includes("lab1")).length,
  );
});

test("a client that comes back goes on where it was; what is not kept any more is a snapshot", async (t) => {
  const { join, pass, feed } = start(t);
  const wish = { intervalMs: 200, parts: ["system", "events"] };
  const [stays, goes] = [join(wish), join(wish)];
  await pass(400);
  const { epoch, seq } = goes.last;
  goes.close(1006);
  await pass(600);
  const back = join({ ...wish, resume: { epoch, seq } });
  assert.deepEqual([back.messages[0]!.type, back.messages[0]!.seq], ["resumed", seq]);
  assert.deepEqual(
    back.messages.slice(1).map((message) => [message.type, message.seq]),
    [1, 2, 3].map((n) => ["delta", seq + n]),
  );
  await pass(200);
  assert.equal(back.last.seq, stays.last.seq);
  const late = join({ ...wish, resume: { epoch: "another", seq: 3 } });
  await pass(200);
  assert.equal(late.messages[0]!.type, "snapshot");
  for (const socket of [stays, back, late]) socket.close(1000);
  await pass(1000);
  const again = join({ ...wish, resume: { epoch, seq: stays.last.seq } });
  assert.equal(again.messages[0]!.type, "resumed", "nobody was there meanwhile: nothing was missed");
  again.close(1000);
  await pass(31_000);
  const tooLate = join({ ...wish, resume: { epoch, seq: stays.last.seq } });
  await pass(0);
  assert.equal(tooLate.messages[0]!.type, "snapshot");
  assert.equal(feed.size, 1);
});

test("a slow client misses messages and is told; a dead one is ended; one that talks without end too", async (t) => {
  const { join, pass } = start(t);
  const [slow, dead, loud] = [join({ intervalMs: 200 }), join({}), join({})];
  await pass(0);
  slow.bufferedAmount = 2 << 20;
  await pass(600);
  assert.equal(slow.messages.length, 1);
  slow.bufferedAmount = 0;
  await pass(200);
  assert.deepEqual([slow.last.type, slow.last.seq, slow.last.missed], ["snapshot", 5, 3]);
  for (let n = 0; n < 60; n++) loud.say({ type: "subscribe", where: `dstPort=${n}` });
  assert.equal(loud.closed, 1008);
  for (let n = 0; n < 3; n++) {
    await pass(30_000);
    slow.emit("pong");
  }
  assert.equal(dead.closed, 1006);
  assert.deepEqual([slow.closed, slow.pings], [undefined, 3]);
});

test("roles: a token's, until it is taken back or another's", async (t) => {
  const { join, pass, access } = start(t);
  const [socket, other] = [join(), join()];
  for (const one of [socket, other]) one.say({ type: "hello", token: "a-token-of-the-noc" });
  socket.say({ type: "subscribe", intervalMs: 200 });
  await pass(0);
  assert.equal(socket.last.role, "operator");
  access.use([{ name: "noc", role: "viewer", hash: hashOf("a-token-of-the-noc") }]);
  await pass(200);
  assert.deepEqual([socket.last.type, socket.last.role], ["snapshot", "viewer"]);
  access.use([]);
  assert.deepEqual([socket.closed, other.closed], [4401, 4401]);
});
