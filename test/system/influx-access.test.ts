/** A real InfluxDB 1.x that asks who we are, and that has a certificate of its own. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { C_RX_PACKETS } from "../../src/shm/counters.ts";
import { bed, withServer, type Bed } from "../helpers/influx-bed.ts";
import { needs } from "../helpers/needs.ts";

async function until(one: Bed, state: string): Promise<void> {
  const now = (): string => one.hub.exporters()[0]!.state;
  for (let n = 0; n < 60 && now() !== state; n++) await one.run(500);
  assert.equal(now(), state, JSON.stringify(one.hub.exporters()[0]));
}

test("influx: a wrong password is REFUSED and shown, the right one tells all that waited", async (t) => {
  if (!needs(t, "/usr/bin/influxd")) return;
  await withServer(
    async (server, stateDir) => {
      await server.query("CREATE USER admin WITH PASSWORD 'root' WITH ALL PRIVILEGES");
      server.user = { u: "admin", p: "root" };
      await server.query("CREATE DATABASE weir");
      await server.query("CREATE USER weir WITH PASSWORD 'it''s \"right\"'".replace("''", "\\'"));
      await server.query("GRANT ALL ON weir TO weir");
      const passwordFile = join(stateDir, "password");
      writeFileSync(passwordFile, "wrong\n");
      const one = bed(server.url, stateDir, { username: "weir", passwordFile });
      await until(one, "REFUSED");
      const shown = JSON.stringify(one.hub.exporters()[0]);
      assert.match(shown, /401 Unauthorized since/);
      assert.match(shown, /nothing lost yet/);
      writeFileSync(passwordFile, 'it\'s "right"\n');
      await until(one, "sending");
      assert.ok(await one.flush());
      assert.ok(!JSON.stringify(one.hub.exporters()[0]).includes("right"));
      const [port] = await server.query("SELECT last(rx_packets) AS n FROM weir_port");
      assert.equal(port!.n, one.counters.get(1, C_RX_PACKETS));
      await one.hub.close();
    },
    { auth: true },
  );
});

test("influx: HTTPS with a certificate of its own: FAILING with what to do, taken with tls.ca", async (t) => {
  if (!needs(t, "/usr/bin/influxd", "openssl")) return;
  const folder = mkdtempSync(join(tmpdir(), "weir-tls-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  const names = ["-subj", "/CN=influx.test", "-addext", "subjectAltName=IP:127.0.0.1"];
  const made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"];
  execFileSync("openssl", [...made, ...names, "-keyout", key, "-out", cert], { stdio: "ignore" });
  await withServer(
    async (server, stateDir) => {
      const blind = bed(server.url, stateDir);
      await until(blind, "FAILING");
      assert.match(JSON.stringify(blind.hub.exporters()[0]), /certificate not trusted .*name its authority in tls\.ca/);
      await blind.hub.close();
      const missing = bed(server.url, stateDir, { tls: { ca: join(folder, "nowhere.pem") } });
      await until(missing, "FAILING");
      assert.match(JSON.stringify(missing.hub.exporters()[0]), /no such file.*nowhere\.pem/);
      await missing.hub.close();
      const one = bed(server.url, stateDir, { tls: { ca: cert }, retention: "7d" });
      await until(one, "sending");
      assert.ok(await one.flush());
      const [port] = await server.query("SELECT last(rx_packets) AS n FROM weir_port");
      assert.equal(port!.n, one.counters.get(1, C_RX_PACKETS));
      assert.ok((await server.query("SHOW RETENTION POLICIES")).some(({ name }) => name === "weir"));
      await one.hub.close();
    },
    { tls: { cert, key } },
  );
});
