import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import test from "node:test";
import { feedOf } from "../../test/helpers/fake-feed.ts";
import { fakeSwitch, NOW } from "../../test/helpers/fake-switch.ts";
import type { FeedParts } from "../live/messages.ts";
import { ApiClient, NoSwitch } from "./client.ts";
import { FeedClient } from "./feed-client.ts";
import { startApi } from "./server.ts";

test("the feed over the socket: told, cut off, back without a snapshot; another switch, a snapshot", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "weir-feed-"));
  const socket = join(folder, "weir.sock");
  let wire: Duplex | undefined;
  const serve = () => {
    const view = fakeSwitch();
    const live = feedOf(view);
    return startApi({
      view,
      socket,
      uid: process.getuid!(),
      now: () => NOW,
      log: () => {},
      live: (request, connection, head, who) => {
        wire = connection;
        live(request, connection, head, who);
      },
    });
  };
  let server = await serve();
  t.after(async () => {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const heard: { parts: Partial<FeedParts>; isSnapshot: boolean }[] = [];
  const troubles: string[] = [];
  const until = async (is: () => boolean, what: string): Promise<void> => {
    for (let tries = 0; !is(); tries++) {
      assert.ok(tries < 800, `${what}: ${heard.length} heard, ${troubles.join("; ")}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  const api = new ApiClient({ api: `unix:${socket}`, env: {}, uid: process.getuid!() });
  const feed = await FeedClient.open(
    api,
    { parts: ["system", "tenants"], intervalMs: 200 },
    {
      told: (parts, isSnapshot) => void heard.push({ parts, isSnapshot }),
      trouble: (error) => void troubles.push(error.message),
    },
  );
  t.after(() => feed.close());
  await until(() => heard.length >= 2, "messages come");
  assert.deepEqual(
    [heard[0]!.isSnapshot, heard[1]!.isSnapshot, Object.keys(heard[0]!.parts).includes("tenants")],
    [true, false, true],
  );
  wire!.destroy();
  await until(() => troubles.length === 1, "it is said");
  const before = heard.length;
  await until(() => heard.length > before + 1, "it comes back");
  assert.ok(
    heard.slice(before).every(({ isSnapshot }) => !isSnapshot),
    "it goes on where it was",
  );

  feed.subscribe({ parts: ["flows"], top: 0 });
  await until(() => troubles.length === 2, "a fault is told");
  feed.subscribe({ parts: ["mirrors"], intervalMs: 200 });
  await until(() => heard.at(-1)!.parts.mirrors !== undefined, "another wish");

  await server.close();
  wire!.destroy();
  await until(() => troubles.some((text) => /no such file|nobody listens/.test(text)), "nobody is there");
  server = await serve();
  const after = heard.length;
  await until(() => heard.length > after, "the next switch is found");
  assert.ok(heard[after]!.isSnapshot);
});

test("who cannot be asked is said as for any request", async () => {
  const api = new ApiClient({ api: "unix:/nonexistent/weir.sock", env: {}, uid: 1 });
  await assert.rejects(FeedClient.open(api, {}, { told: () => {}, trouble: () => {} }), NoSwitch);
});
