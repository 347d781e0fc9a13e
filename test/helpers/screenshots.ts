/** Every view in dark and light, at desktop, 360 px and 4k: `npm run screenshots -- FOLDER`. To be looked at. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { openBrowser } from "./browser.ts";
import { scriptedFeed } from "./scripted-feed.ts";

const SIZES = { desktop: [1360, 850], narrow: [360, 780], "4k": [3840, 2160] } as const;
export const VIEWS: Record<string, string> = {
  river: "",
  port: "open=port:weir0/acme-web1",
  flow: "open=flow:weir0/1/0&pin=weir0/1/0",
  refused: "open=drop:weir0/globex-web1/ingress_vlan_filter",
  mirrors: "open=mirrors",
  trace: "open=trace",
  exporters: "open=exporters",
  audit: "open=audit",
  events: "open=events",
};

if (process.argv[1]?.endsWith("screenshots.js")) {
  const folder = process.argv[2] ?? "dist/screenshots";
  const wanted = process.argv.slice(3);
  mkdirSync(folder, { recursive: true });
  const feed = await scriptedFeed({ past: 100, mirrored: true });
  const browser = await openBrowser();
  for (const theme of ["dark", "light"] as const)
    for (const [size, [width, height]] of Object.entries(SIZES))
      for (const [view, hash] of Object.entries(VIEWS)) {
        const name = `${view}-${size}-${theme}.png`;
        if (wanted.length > 0 && !wanted.some((word) => name.includes(word))) continue;
        const page = await browser.context.newPage();
        await page.setViewportSize({ width, height });
        await page.emulateMedia({ colorScheme: theme });
        await page.goto(`${feed.url}#${hash}`);
        await page.getByText("Forwarding").waitFor();
        await page.waitForTimeout(2000);
        await page.screenshot({ path: join(folder, name) });
        await page.close();
        console.log(join(folder, name));
      }
  await browser.close();
  await feed.close();
}
