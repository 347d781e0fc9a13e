/** The page of a running switch, every part used as a person would: nothing here is scripted but the person. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createServer } from "node:http";
import { writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import type { Page } from "playwright-core";
import { CHROMIUM, openBrowser, type Browser } from "../helpers/browser.ts";
import { freePort } from "../helpers/collectors.ts";
import { needs } from "../helpers/needs.ts";
import { pause, startWeir, weirHome } from "../helpers/weir-process.ts";

const TOKEN = "kq3.Wm~7-Z_t9pLx/f+2=";
const MOST_BYTES = 150_000;
const FIRST_CONTENT_MS = 1000;

interface Bed {
  readonly url: string;
  readonly browser: Browser;
  /** Opens the page; errors and requests to others are kept in `wrong`. */
  open(hash: string, tab?: Page): Promise<Page>;
  readonly wrong: string[];
}

const AS_OPERATOR = `k=${encodeURIComponent(TOKEN)}`;

async function bed(t: TestContext): Promise<Bed> {
  const home = weirHome(t);
  const port = await freePort();
  const file = join(home.folder, "noc.token");
  writeFileSync(file, `${TOKEN}\n`);
  home.write({
    host: { stateDir: home.stateDir },
    api: { socket: home.socket, listen: [`127.0.0.1:${port}`], tokens: [{ name: "noc", role: "operator", file }] },
    tenants: { acme: { vlans: ["100-109"] }, globex: { vlans: ["110-119"] } },
    bridges: [
      {
        name: "weir0",
        sampling: { rate: 10 },
        ports: [{ name: "gen", type: "traffic", profile: "tenants", seed: 1, rate: "5kpps" }],
      },
    ],
    exporters: [
      { type: "netflow-v5", name: "nf", collectors: [`127.0.0.1:${await freePort()}`] },
      { type: "sflow", name: "sf", collectors: [`127.0.0.1:${await freePort()}`] },
    ],
  });
  await startWeir(t, home);
  const browser = await openBrowser();
  t.after(() => browser.close());
  const url = `http://127.0.0.1:${port}/`;
  const wrong: string[] = [];
  const open = async (hash: string, tab?: Page): Promise<Page> => {
    const page = tab ?? (await browser.context.newPage());
    page.on("pageerror", (error) => wrong.push(error.message));
    page.on("request", (asked) => {
      const from = asked.url();
      if (!from.startsWith(url) && !/^(blob|data):/.test(from)) wrong.push(`asked ${from}`);
    });
    page.on("websocket", (socket) => {
      if (!socket.url().startsWith(url.replace("http", "ws"))) wrong.push(`asked ${socket.url()}`);
    });
    await page.goto(`${url}#${hash}`);
    await page.locator(".flows tbody tr").first().waitFor();
    return page;
  };
  return { url, browser, open, wrong };
}

const packets = (file: string): number =>
  Number(/Number of packets:\s+(\d+)/.exec(execFileSync("capinfos", ["-c", "-M", file], { encoding: "utf8" }))?.[1]);

/** Of what is outside the page; the policy forbids polling inside it. */
async function until(holds: () => boolean, what: string): Promise<void> {
  for (const from = Date.now(); !holds(); await pause(20)) assert.ok(Date.now() - from < 20_000, what);
}

async function clearFilter(page: Page): Promise<void> {
  await page.getByLabel("Filter", { exact: true }).fill("");
  await page.getByText(/^40 of [\d,]+$/).waitFor();
}

async function type(page: Page, filter: string): Promise<void> {
  await page.keyboard.press("Escape");
  await page.getByLabel("Filter", { exact: true }).fill(filter);
  const hash = `f=${encodeURIComponent(filter.replaceAll(/(tenant|port):/g, "$1=")).replaceAll("%20", "+")}`;
  await until(() => page.url().includes(hash), hash);
  await pause(200);
  await page.getByText("that match").waitFor();
}

/** Downloads what the open session holds; its number of packets by capinfos. */
async function downloaded(page: Page): Promise<number> {
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download pcapng" }).click();
  return packets(await (await download).path());
}

async function stopCapture(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Stop" }).click();
  await page.locator(".session").getByText("ended").first().waitFor();
}

test("every part of the page of a running switch", { timeout: 240_000 }, async (t) => {
  if (!needs(t, CHROMIUM, "capinfos")) return;
  const { open, url, browser, wrong } = await bed(t);
  const page = await open(AS_OPERATOR);
  await page.getByText("operator", { exact: true }).waitFor();
  assert.ok(!page.url().includes("k="), "the key does not stay in the address");

  await t.test("budget: first content, bytes, nobody else is asked", async () => {
    const times: number[] = [];
    let bytes = 0;
    for (let turn = 0; turn < 3; turn++) {
      const tab = await browser.context.newPage();
      bytes = 0;
      const session = await browser.context.newCDPSession(tab);
      await session.send("Network.enable");
      await session.send("Network.setCacheDisabled", { cacheDisabled: true });
      session.on("Network.loadingFinished", ({ encodedDataLength }) => (bytes += encodedDataLength));
      await tab.addInitScript(
        `new PerformanceObserver((list) => { for (const entry of list.getEntriesByName("first-contentful-paint")) window.firstContent = entry.startTime; }).observe({ type: "paint", buffered: true })`,
      );
      await open("", tab);
      times.push(Number(await tab.evaluate("window.firstContent")));
      await tab.close();
    }
    t.diagnostic(`first content after ${times.map((ms) => Math.round(ms)).join(", ")} ms; ${bytes} bytes`);
    assert.ok(Math.min(...times) <= FIRST_CONTENT_MS, `${times.join()} ms`);
    assert.ok(bytes > 10_000 && bytes <= MOST_BYTES, `${bytes} bytes`);
  });

  await t.test("river: total, tenants, a ruler through every chart, a click on a band filters", async () => {
    await page.getByRole("heading", { name: /^[\d.]+ Mbit\/s in$/ }).waitFor();
    assert.match(await page.locator(".river .key").nth(1).innerText(), /[\d.]+ refused\/s/);
    await page.locator(".legend").getByText("globex").waitFor();
    await pause(4000);
    const box = (await page.locator(".plot.up").boundingBox())!;
    await page.mouse.move(box.x + box.width - 8, box.y + 40);
    const reading = page.locator(".reading");
    await reading.getByText("acme").waitFor();
    assert.match(await reading.innerText(), /\d\d:\d\d:\d\d[\s\S]*in\n?\s*[\d.]+ Mbit\/s[\s\S]*refused/);
    await page.mouse.click(box.x + box.width - 8, box.y + box.height - 12);
    await until(() => page.url().endsWith("#f=tenant%3Dacme"), "the filter in the address");
    await page.getByText("that match").waitFor();
    await page.mouse.move(5, 5);
    await reading.waitFor({ state: "detached" });
    await page.locator(".legend").getByText("acme").click();
    await until(() => !page.url().includes("#"), "no filter in the address");
  });

  await t.test("ports: rates, VLAN, owner and state of each", async () => {
    const cards = await page.locator(".card").allInnerTexts();
    assert.equal(cards.length, 14);
    const names = cards.map((text) => text.split("\n")[0]!.trim());
    assert.deepEqual(names, names.toSorted(), "alphabetical");
    const web = cards.find((text) => text.includes("gen.acme-web1"))!;
    assert.match(web, /up[\s\S]*acme\/web1[\s\S]*VLAN 100[\s\S]*↑\s*[\d.]+[kM]?[\s\S]*↓\s*[\d.]+[kM]?/);
    assert.equal(await page.locator(".card").first().locator(".spark .area[d^='M']").count(), 2);
    assert.match(
      cards.find((text) => text.includes("gen.globex-lab7"))!,
      /refused\/s/,
    );
  });

  await t.test("flows: the filter as one types it, both ways; sorting", async () => {
    for (const filter of ["tenant:acme port:gen.acme-web1 443", "tenant=acme port=gen.acme-web1 443"]) {
      await type(page, filter);
      const rows = await page.locator(".flows tbody tr").allInnerTexts();
      assert.ok(rows.length > 0 && rows.every((row) => /gen\.acme-web1[\s\S]*:443/.test(row)), rows[0]);
    }
    await type(page, "dropped port:gen.globex-lab7");
    const fates = await page.locator(".flows tbody td:last-child").allInnerTexts();
    assert.ok(fates.length > 0 && fates.every((text) => text === "refused ingress_vlan_filter"), fates.join());
    await page.getByLabel("Filter", { exact: true }).fill("tenat:acme x=");
    await page
      .locator("#filter-problem")
      .getByText(/column \d+/)
      .waitFor();
    await clearFilter(page);
    await page
      .locator("#filter-problem")
      .getByText(/column/)
      .waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Packets" }).click();
    await page.locator("th[aria-sort=descending]").getByText("Packets").waitFor();
    await pause(3000);
    const sorted = (await page.locator(".flows td.packets").allInnerTexts()).map((text) =>
      Number(text.replaceAll(",", "")),
    );
    assert.ok(sorted[0]! >= sorted[10]! && sorted[10]! >= sorted[30]!, sorted.join());
    await page.getByRole("button", { name: "bit/s" }).click();
  });

  await t.test("pin and follow; the address is an incident link", async () => {
    // The longest: it will still be there.
    await page.getByRole("button", { name: "Age" }).click();
    await page.locator("th[aria-sort=descending]").getByText("Age").waitFor();
    await pause(2500);
    await page.locator(".flows .pin").first().click();
    const pinned = page.getByRole("group", { name: "Pinned flow" });
    await pinned.waitFor();
    const flow = (await pinned.locator("p").innerText()).trim();
    // Followed where the filter does not show it.
    await type(page, "dropped port:gen.globex-lab7");
    await pause(2500);
    assert.equal((await pinned.locator("p").innerText()).trim(), flow);
    await page.getByRole("button", { name: "Details" }).click();
    await page.locator(".drawer").getByText("Following").waitFor();
    const other = await open(page.url().split("#")[1]!);
    await other.getByRole("group", { name: "Pinned flow" }).waitFor();
    await other.locator(".drawer").getByText("Following").waitFor();
    assert.equal(await other.getByLabel("Filter", { exact: true }).inputValue(), "dropped port=gen.globex-lab7");
    await other.close();
    await page.getByRole("button", { name: "Unpin the flow" }).click();
    await page.keyboard.press("Escape");
    await clearFilter(page);
  });

  await t.test("refused: why, the newest frame, Trace, Capture", async () => {
    const sentence = page.locator(".sentence", { hasText: "gen.globex-lab7" });
    await sentence.getByText("frames tagged 200").waitFor();
    assert.match(await sentence.locator(".frame").innerText(), /vlan 200/);
    await sentence.getByRole("button", { name: /^Trace/ }).click();
    await page.locator(".drawer").getByText("REFUSED ingress_vlan_filter").waitFor();
    await page.keyboard.press("Escape");
    await sentence.getByRole("button", { name: /^Capture/ }).click();
    await page.getByRole("button", { name: "Start capture" }).click();
    await page.getByText(/● REC gen\.globex-lab7/).waitFor();
    await pause(2000);
    await stopCapture(page);
    assert.ok((await downloaded(page)) > 5, "what was captured stays after Stop");
    await page.keyboard.press("Escape");
  });

  await t.test("two clicks capture a flow, a VM, a port", async () => {
    await page.locator(".flows tbody tr").first().click();
    await page.getByRole("button", { name: "Start capture" }).click();
    await page.locator(".session .blue").waitFor();
    assert.match(await page.locator(".session code").innerText(), /host /);
    await stopCapture(page);
    await page.keyboard.press("Escape");

    await page.locator(".card", { hasText: "gen.acme-web1" }).click();
    await page.getByRole("button", { name: "Capture every port of web1" }).click();
    await page.locator(".session .blue").waitFor();
    // Another tenant's VM of the same name is not meant.
    await page
      .locator(".session dd")
      .getByText(/^gen\.acme-web1$/)
      .waitFor();
    await page
      .locator(".session dd")
      .getByText(/^[1-9][\d,]* packets/)
      .first()
      .waitFor();
    await stopCapture(page);
    assert.ok((await downloaded(page)) > 5);
    await page.keyboard.press("Escape");

    await page.locator(".card", { hasText: "gen.uplink" }).click();
    await page.getByLabel("Filter, in pcap’s language").fill("tcp port 443");
    await page.getByLabel("Bytes of each frame").fill("64");
    await page.getByRole("button", { name: "Start capture" }).click();
    await page.locator(".card.rec", { hasText: "gen.uplink" }).waitFor();
    await pause(1500);
    await stopCapture(page);
    assert.ok((await downloaded(page)) > 5);
    await page.keyboard.press("Escape");
  });

  await t.test("trace: a pasted frame and a built one", async () => {
    await page.locator(".foot").getByRole("button", { name: "Trace" }).click();
    await page.getByLabel("Comes in at port").selectOption("gen.acme-web1");
    await page
      .getByLabel("or paste one, hex")
      .fill("52 54 00 01 00 06 52:54:00:01:00:05 0800 4500 0014 0000 0000 40 11 0000 0a010005 0a010006");
    await page.locator(".drawer button[type=submit]").click();
    await page.locator(".trace .frame").getByText("10.1.0.5").waitFor();
    assert.ok((await page.locator(".trace li").count()) >= 3, "each decision");
    await page.getByLabel("or paste one, hex").fill("");
    await page.getByLabel("vlan", { exact: true }).fill("200");
    await page.locator(".drawer button[type=submit]").click();
    await page.locator(".trace").getByText("REFUSED ingress_vlan_filter").waitFor();
    await page.getByLabel("vlan", { exact: true }).fill("999999");
    await page.locator(".drawer button[type=submit]").click();
    await page.locator(".drawer [role=alert]").waitFor();
    await page.keyboard.press("Escape");
  });

  await t.test("exporters, audit, and how far samples can be trusted", async () => {
    await page.locator(".foot").getByRole("button", { name: "Exporters" }).click();
    await page.locator(".session").getByText("nf", { exact: true }).waitFor();
    await page.locator(".foot").getByRole("button", { name: "Audit" }).click();
    await page
      .locator(".drawer")
      .getByText(/^conserved/)
      .waitFor();
    const number = (text: string): number => Number(text.replaceAll(",", ""));
    const rows = await page.locator(".drawer .sums").first().locator("tr:not(.part)").allInnerTexts();
    const values = rows.map((row) => number(/\t([\d,]+)/.exec(row)![1]!));
    const sum = values.slice(1, -1).reduce((a, b) => a + b, 0);
    assert.equal(sum, values.at(-1), rows.join(" | "));
    await page
      .locator(".drawer")
      .getByText(/± [\d.]+ %/)
      .first()
      .waitFor();
    const foot = await page.locator(".foot button.plain").innerText();
    const [received, ...terms] = [...foot.matchAll(/[\d,]+\d|\d/g)].map(([text]) => number(text));
    assert.equal(
      terms.reduce((a, b) => a + b, 0),
      received,
      foot,
    );
    await page.keyboard.press("Escape");
  });

  await t.test("a viewer sees everything but what packets hold, and is told why", async () => {
    const viewer = await browser.context.newPage();
    await open("", viewer);
    await viewer.getByText("viewer", { exact: true }).waitFor();
    await viewer.locator(".card").first().click();
    await viewer.getByText("You are a viewer").waitFor();
    assert.equal(await viewer.getByRole("button", { name: /capture/i }).count(), 0);
    await viewer.close();
  });

  await t.test("another site's page can neither ask nor listen", async (sub) => {
    const server = createServer((_, response) => response.end("<!doctype html><title>x</title>"));
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    sub.after(() => server.close());
    const attacker = await browser.context.newPage();
    await attacker.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    const got = await attacker.evaluate(`(async () => {
      const target = ${JSON.stringify(url)};
      const read = async (path, options) => { try { return (await fetch(target + path, options)).status; } catch { return "refused"; } };
      const listen = () => new Promise((done) => {
        const socket = new WebSocket(target.replace("http", "ws") + "live");
        socket.onopen = () => socket.send('{"type":"subscribe"}');
        socket.onmessage = () => done("heard");
        socket.onclose = () => done("refused");
      });
      const framed = () => new Promise((done) => {
        const frame = document.createElement("iframe");
        frame.src = target;
        frame.onload = () => { try { done(frame.contentDocument === null ? "closed" : frame.contentDocument.title); } catch { done("closed"); } };
        document.body.append(frame);
      });
      return [
        await read("api/v1/flows"),
        await read("api/v1/mirrors/x", { method: "PUT", headers: { "content-type": "application/json" }, body: "{}" }),
        await read("api/v1/mirrors/x", { method: "POST", headers: { "content-type": "text/plain" }, body: "{}" }),
        await listen(),
        await framed(),
      ];
    })()`);
    assert.deepEqual(got, ["refused", "refused", "refused", "refused", "closed"]);
    const blind = (await attacker.evaluate(
      `fetch(${JSON.stringify(url)} + "api/v1/flows", { mode: "no-cors" }).then((answer) => answer.type + (answer.body === null), () => "refused")`,
    )) as string;
    assert.ok(blind === "opaquetrue" || blind === "refused", blind);
    await attacker.close();
  });

  assert.deepEqual(wrong, []);
});
