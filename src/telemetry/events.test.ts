import assert from "node:assert/strict";
import test from "node:test";
import { EventBus } from "./events.ts";

test("recent: the last of these kinds, oldest first, as many as the ring holds", () => {
  const bus = new EventBus(4);
  for (let n = 0; n < 6; n++) bus.publish({ kind: n % 2 ? "mac" : "port", message: `event ${n}` }, 1000 + n);
  assert.deepEqual(
    bus.recent().map((event) => event.number),
    [2, 3, 4, 5],
  );
  assert.deepEqual(
    bus.recent(["mac"]).map((event) => event.message),
    ["event 3", "event 5"],
  );
  assert.deepEqual(
    bus.recent([], 1).map((event) => event.atMs),
    [1005],
  );
});

test("a subscriber reads at its own pace; a slow one loses the oldest and knows how many", () => {
  const bus = new EventBus(4);
  const fast = bus.subscribe();
  const slow = bus.subscribe();
  for (let n = 0; n < 10; n++) {
    bus.publish({ kind: "port", message: String(n) }, 0);
    assert.equal(fast.read().length, 1);
  }
  assert.equal(fast.lost, 0);
  assert.deepEqual(
    slow.read().map((event) => event.message),
    ["6", "7", "8", "9"],
  );
  assert.equal(slow.lost, 6);
  assert.deepEqual(slow.read(), []);
});

test("wait: wakes at the first event of its kinds, and ends with close", async () => {
  const bus = new EventBus();
  const subscription = bus.subscribe(["drop"]);
  const waiting = subscription.wait();
  bus.publish({ kind: "port", message: "no" }, 0);
  bus.publish({ kind: "drop", message: "yes" }, 0);
  assert.deepEqual(
    (await waiting).map((event) => event.message),
    ["yes"],
  );
  const last = subscription.wait();
  subscription.close();
  assert.deepEqual(await last, []);
  assert.equal(bus.subscribers, 0);
});

test("from: a reader that comes back gets what it missed", () => {
  const bus = new EventBus();
  for (let n = 0; n < 5; n++) bus.publish({ kind: "config", message: String(n) }, 0);
  assert.deepEqual(
    bus
      .subscribe([], 3)
      .read()
      .map((event) => event.number),
    [3, 4],
  );
});
