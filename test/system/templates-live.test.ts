/** NetFlow v9 and IPFIX to collectors that live: they learn the sampling rate, and a restart of theirs costs 30 s at most. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { exporterTypes } from "../../src/registry.gen.ts";
import { RecordLog } from "../../src/shm/log.ts";
import type { Moment } from "../../src/telemetry/exporter.ts";
import { startNfacctd, startNfcapd } from "../helpers/collectors.ts";
import { openHub } from "../helpers/hub.ts";
import { needs } from "../helpers/needs.ts";
import { appendRecord, TEST_BOOT_MS } from "../helpers/records.ts";

const TYPES = ["netflow-v9", "ipfix"] as const;
const at = (uptimeMs: number): Moment => ({ uptimeMs, unixMs: TEST_BOOT_MS + uptimeMs });

/** An exporter to these ports of this host; `send` gives it flows of 3 packets and 300 octets at a moment. */
async function startExporter(t: TestContext, type: (typeof TYPES)[number], ports: readonly number[], options: object) {
  const hub = openHub(t);
  const exporter = await exporterTypes[type]();
  const collectors = ports.map((port) => `127.0.0.1:${port}`);
  hub.addExporter(
    { name: "e", type, collectors, bridges: [], options: exporter.schema.parse({ profile: "nfdump", ...options }) },
    exporter,
  );
  const log = RecordLog.create(4096);
  hub.addBridge({ name: "b", log });
  return async (count: number, uptimeMs: number): Promise<void> => {
    for (let n = 0; n < count; n++)
      appendRecord(log, { packets: 3, l3Bytes: 300, firstMs: uptimeMs - 500, lastMs: uptimeMs - 100 });
    assert.ok(await hub.flush(at(uptimeMs)), "everything left");
  };
}

for (const type of TYPES) {
  test(`${type}: nfcapd and nfacctd learn the sampling rate, and multiply`, { timeout: 60_000 }, async (t) => {
    if (!needs(t, "nfcapd", "nfdump", "nfacctd")) return;
    for (const rate of [1, 10, 400]) {
      const [nfcapd, nfacctd] = [await startNfcapd(t), await startNfacctd(t, { renormalize: true })];
      const sampling = { rate, mode: "random" };
      const send = await startExporter(t, type, [nfcapd.port, nfacctd.port], rate === 1 ? {} : { sampling });
      await send(100, 5000);
      const expected = { packets: 300 * rate, bytes: 30_000 * rate };
      const [dump, account] = [await nfcapd.finish(), await nfacctd.finish()];
      assert.deepEqual({ packets: dump.packets, bytes: dump.bytes }, expected, `nfcapd, 1 in ${rate}`);
      assert.deepEqual([dump.sequenceErrors, dump.badPackets], [0, 0]);
      assert.deepEqual({ packets: account.packets, bytes: account.bytes }, expected, `nfacctd, 1 in ${rate}`);
    }
  });

  test(`${type}: collectors that restart know every template again within 30 s`, { timeout: 60_000 }, async (t) => {
    if (!needs(t, "nfcapd", "nfdump", "nfacctd")) return;
    const [nfcapd, nfacctd] = [await startNfcapd(t), await startNfacctd(t)];
    const send = await startExporter(t, type, [nfcapd.port, nfacctd.port], {});
    await send(100, 5000);
    assert.equal((await nfcapd.finish()).packets, 300);
    assert.equal((await nfacctd.finish()).packets, 300);

    const again = await startNfcapd(t, { port: nfcapd.port });
    const accountAgain = await startNfacctd(t, { port: nfacctd.port });
    // What comes before the templates are repeated cannot be read; from 30 s on everything is.
    await send(1, 34_900);
    await send(100, 35_000);
    await send(100, 36_000);
    assert.equal((await again.finish()).packets, 600);
    assert.equal((await accountAgain.finish()).packets, 600);
  });
}
