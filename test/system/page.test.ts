/** The live view in a real Chromium, used as a person would; fed by a script, so that what is read can be compared. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { gzipSync } from "node:zlib";
import type { Page } from "playwright-core";
import { CHROMIUM, openBrowser, type Browser } from "../helpers/browser.ts";
import { projectRoot } from "../helpers/captures.ts";
import { needs, which } from "../helpers/needs.ts";
import { scriptedFeed, type Script, type Scripted } from "../helpers/scripted-feed.ts";
import { VIEWS } from "../helpers/screenshots.ts";

const AXE = readFileSync(join(projectRoot, "node_modules/axe-core/axe.min.js"), "utf8");
let browser: Browser | undefined;
before(async () => {
  if (which(CHROMIUM) !== undefined) browser = await openBrowser();
});
after(() => browser?.close());

/** One page on one script; console errors and requests to others fail it. */
async function visit(script: Script, hash: string, use: (page: Page, feed: Scripted) => Promise<void>): Promise<void> {
  const feed = await scriptedFeed(script);
  const page = await browser!.context.newPage();
  const wrong: string[] = [];
  page.on("pageerror", (error) => wrong.push(error.message));
  page.on("request", (request) => {
    if (!/^(http|ws):\/\/127\.0\.0\.1|^(blob|data):/.test(request.url())) wrong.push(`asked ${request.url()}`);
  });
  try {
    await page.goto(feed.url + hash);
    await page.getByText("Forwarding").waitFor();
    await use(page, feed);
    assert.deepEqual(wrong, []);
  } finally {
    await page.close();
    await feed.close();
  }
}

test("all of it is at most 150 kB compressed", () => {
  const folder = join(projectRoot, "dist/page");
  const sizes = readdirSync(folder).map((name) => gzipSync(readFileSync(join(folder, name))).length);
  const sum = sizes.reduce((a, b) => a + b, 0);
  assert.ok(sizes.length === 3 && sum <= 150_000, `${sum} bytes`);
});

test("a filter as one types it, rows that match, and an address that keeps it", async (t) => {
  if (!needs(t, CHROMIUM)) return;
  await visit({}, "", async (page) => {
    await page.locator(".flows tbody tr").nth(10).waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("tenant:globex");
    await page.getByText("that match").waitFor();
    const owners = await page.locator(".flows tbody td.tenant").allInnerTexts();
    assert.ok(owners.length > 0 && owners.every((text) => text.includes("globex")), owners.join());
    assert.match(page.url(), /#f=tenant%3Dglobex$/);
  });
});

test("two clicks capture a port; the download is a pcapng that capinfos reads; Stop ends it", async (t) => {
  if (!needs(t, CHROMIUM, "capinfos")) return;
  await visit({}, "", async (page, feed) => {
    await page.locator(".card").first().click();
    await page.getByRole("button", { name: "Start capture" }).click();
    await page.getByText("REC acme-db1").waitFor();
    const download = page.waitForEvent("download");
    await page.getByRole("button", { name: "Download pcapng" }).click();
    const path = await (await download).path();
    assert.match(execFileSync("capinfos", ["-c", "-M", path], { encoding: "utf8" }), /Number of packets:\s+1\b/);
    await page.getByRole("button", { name: "Stop" }).click();
    await page.locator(".session").getByText("ended").waitFor();
    const { entry } = feed.calls[0] as { entry: { snaplen: number; limit: { duration: string } } };
    assert.deepEqual([entry.snaplen, entry.limit.duration], [128, "5m"]);
  });
});

test("a viewer is told why there is no capture", async (t) => {
  if (!needs(t, CHROMIUM)) return;
  await visit({ role: "viewer" }, "#open=port:weir0/acme-web1", async (page) => {
    await page.getByText("You are a viewer").waitFor();
    await page.locator(".sentence").first().waitFor();
    assert.equal(await page.getByRole("button", { name: /capture/i }).count(), 0);
  });
});

test("trace by fields shows each decision", async (t) => {
  if (!needs(t, CHROMIUM)) return;
  await visit({}, "", async (page) => {
    await page.locator(".foot").getByRole("button", { name: "Trace" }).click();
    await page.getByLabel("ipSrc").fill("10.2.0.9");
    await page.locator(".drawer button[type=submit]").click();
    await page.getByText("REFUSED ingress_vlan_filter").waitFor();
    assert.equal(await page.locator(".trace li").count(), 2);
    await page.keyboard.press("Escape");
    assert.equal(await page.locator(".drawer").count(), 0);
  });
});

test("a switch that goes away and comes back is found again", async (t) => {
  if (!needs(t, CHROMIUM)) return;
  await visit({}, "", async (page, feed) => {
    await feed.close();
    await page.getByText("No news from the switch").waitFor();
    const again = await scriptedFeed({ listen: feed.port });
    await page.getByText("No news from the switch").waitFor({ state: "detached", timeout: 15_000 });
    await again.close();
  });
});

test("names that guests chose are text, cut, and widen nothing", async (t) => {
  if (!needs(t, CHROMIUM)) return;
  await visit({ hostile: true }, "", async (page) => {
    await page.getByText("<script>").first().waitFor();
    assert.equal(await page.evaluate("window.pwned"), undefined);
    assert.ok(await page.evaluate("document.documentElement.scrollWidth <= innerWidth"));
  });
});

test("axe finds nothing on any view in both themes; no view is wider than 360 px or 4k", async (t) => {
  if (!needs(t, CHROMIUM)) return;
  for (const [view, hash] of Object.entries(VIEWS))
    await visit({ past: 3 }, `#${hash}`, async (page) => {
      await page.evaluate(AXE);
      for (const theme of ["dark", "light"]) {
        await page.evaluate(`document.documentElement.dataset.theme = ${JSON.stringify(theme)}`);
        await page.waitForTimeout(150);
        // The rest of the page is the same under every drawer.
        const what = hash === "" ? "" : '".drawer"';
        const found = (await page.evaluate(`axe.run(${what})`)) as {
          violations: { id: string; nodes: { html: string; failureSummary: string }[] }[];
        };
        const words = found.violations.map((v) => `${v.id}: ${v.nodes[0]!.html} ${v.nodes[0]!.failureSummary}`);
        assert.deepEqual(words, [], `${view} ${theme}`);
      }
      for (const width of [360, 3840]) {
        await page.setViewportSize({ width, height: 900 });
        const wide = await page.evaluate("document.documentElement.scrollWidth");
        assert.ok(Number(wide) <= width, `${view} at ${width}: ${wide}`);
      }
    });
});

test("a sum that fails is amber and says which term, by how much", async (t) => {
  if (!needs(t, CHROMIUM)) return;
  await visit({ broken: true }, "#open=audit", async (page) => {
    const said = "forwarded + refused + consumed is 12 short of received";
    await page.locator(".foot.bad").getByText(said).waitFor();
    await page.getByText("Counts do not add up").waitFor();
    await page.locator(".drawer [role=alert]").getByText(said).waitFor();
    await page.locator(".sums tr.amber").getByText("12 missing").waitFor();
    await page.evaluate(AXE);
    const { violations } = (await page.evaluate('axe.run(".foot")')) as { violations: unknown[] };
    assert.deepEqual(violations, []);
  });
});

test("the keyboard alone: filter, freeze, a port, its capture, and back", async (t) => {
  if (!needs(t, CHROMIUM)) return;
  await visit({}, "", async (page) => {
    const focused = (): Promise<string> =>
      page.evaluate("document.activeElement.matches('button') ? document.activeElement.innerText.trim() : ''");
    await page.locator(".card").first().waitFor();
    await page.keyboard.press("Space");
    await page.getByText("Frozen", { exact: true }).waitFor();
    await page.keyboard.press("Space");
    for (let i = 0; !(await focused()).startsWith("acme-db1"); i++) {
      assert.ok(i < 30, "the first card is reached");
      await page.keyboard.press("Tab");
    }
    await page.keyboard.press("Enter");
    await page.locator(".drawer").waitFor();
    for (let i = 0; (await focused()) !== "Start capture"; i++) {
      assert.ok(i < 20, "the capture is reached");
      await page.keyboard.press("Tab");
    }
    await page.keyboard.press("Enter");
    await page.getByText("REC acme-db1").waitFor();
    await page.keyboard.press("Escape");
    await page.locator(".drawer").waitFor({ state: "detached" });
    assert.match(await focused(), /^acme-db1/, "back where one was");
    await page.keyboard.press("/");
    await page.keyboard.type("dropped");
    await page.getByText("No flow matches the filter.").waitFor();
  });
});

test("who wants little motion sees the river step once a second", async (t) => {
  if (!needs(t, CHROMIUM)) return;
  await visit({ past: 20 }, "", async (page) => {
    await page.emulateMedia({ reducedMotion: "reduce" });
    await page.waitForTimeout(1500);
    const places = new Set<string>();
    const messages = new Set<string>();
    for (let i = 0; i < 25; i++) {
      places.add(await page.evaluate("document.querySelector('.strip').style.transform"));
      messages.add(await page.locator(".big").innerText());
      await page.waitForTimeout(60);
    }
    assert.equal(places.size, 1, `it stands still between messages: ${[...places].join()}`);
    assert.ok(messages.size >= 2, "the numbers go on");
  });
});
