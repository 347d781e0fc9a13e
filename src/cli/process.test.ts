/** What only a process has: pipes that close, signals, a terminal, the time to start. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { needs } from "../../test/helpers/needs.ts";

const script = fileURLToPath(new URL("../../test/helpers/fake-weir.js", import.meta.url));

/** A serving process; the environment that finds it. */
async function serve(t: TestContext): Promise<NodeJS.ProcessEnv> {
  const folder = mkdtempSync(join(tmpdir(), "weir-process-"));
  const socket = join(folder, "weir.sock");
  const child = spawn(process.execPath, [script, "serve", socket], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => {
    child.kill("SIGTERM");
    rmSync(folder, { recursive: true, force: true });
  });
  await new Promise((resolve) => child.stdout.once("data", resolve));
  return { ...process.env, WEIR_API: `unix:${socket}` };
}

function shell(command: string, env: NodeJS.ProcessEnv) {
  const weir = `'${process.execPath}' '${script}'`;
  return spawnSync("bash", ["-o", "pipefail", "-c", command.replaceAll("weir", weir)], {
    env,
    encoding: "utf8",
    timeout: 20_000,
  });
}

test("| head is no error, and nothing is said on stderr", async (t) => {
  const env = await serve(t);
  for (const command of ["weir show flows --json --limit 0 | head -1", "weir monitor --json | head -2"]) {
    const { status, stdout, stderr } = shell(command, env);
    assert.equal(status, 0, stderr);
    assert.equal(stderr, "");
    for (const line of stdout.trimEnd().split("\n")) JSON.parse(line);
  }
});

test("Ctrl-C of a stream is exit 0; whole JSON before it", async (t) => {
  const env = await serve(t);
  for (const args of [["monitor"], ["show", "ports", "--every", "500ms"]]) {
    const child = spawn(process.execPath, [script, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
    await new Promise((resolve) => child.stdout.once("data", resolve));
    const from = performance.now();
    child.kill("SIGINT");
    const code = await new Promise((resolve) => child.once("close", resolve));
    assert.equal(code, 0, args.join(" "));
    assert.ok(performance.now() - from < 2000);
  }
});

test("exit codes reach the shell", async (t) => {
  const env = await serve(t);
  assert.equal(shell("weir show ports >/dev/null", env).status, 0);
  assert.equal(shell("weir nonsense", env).status, 2);
  assert.equal(shell("WEIR_API=unix:/nonexistent weir show ports", env).status, 3);
  const replay = shell("weir replay --json x.pcap", env);
  assert.equal(replay.status, 1, "a damaged file is bad news");
  assert.equal(JSON.parse(replay.stdout).files[1].error.offset, 1234);
});

test("a socket that may not be opened is exit 4 and says who may", async (t) => {
  if (process.getuid!() !== 0) return t.skip("needs root to become somebody else");
  const env = await serve(t);
  const { status, stderr } = shell("setpriv --reuid 65534 --regid 65534 --clear-groups weir show ports", env);
  // The folder itself is closed to others: that is the same answer.
  assert.equal(status, 4, stderr);
  assert.match(stderr, /permission denied.*group/);
});

test("the demo's summary runs along and Ctrl-C ends it", async (t) => {
  const env = await serve(t);
  const child = spawn(process.execPath, [script, "demo"], { env, stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.on("data", (chunk) => (said += chunk));
  while (!said.includes("every frame accounted for")) await new Promise((resolve) => setTimeout(resolve, 50));
  child.kill("SIGINT");
  assert.equal(await new Promise((resolve) => child.once("close", resolve)), 0);
  assert.match(said, /ask it +node dist\/weir\.js show flows --api unix:/);
  assert.doesNotMatch(said, /live view/);
});

test("weir top in a terminal: draws, switches, filters, and gives the terminal back", async (t) => {
  if (!needs(t, "tmux")) return;
  const env = await serve(t);
  const name = `weir-top-${process.pid}`;
  const tmux = (...args: string[]): string =>
    spawnSync("tmux", ["-L", name, ...args], { env, encoding: "utf8" }).stdout ?? "";
  t.after(() => void tmux("kill-server"));
  tmux("-f", "/dev/null", "new-session", "-d", "-x", "150", "-y", "20", "-s", "a", "bash --norc");
  const screen = (): string => tmux("capture-pane", "-p", "-t", "a");
  const shows = async (pattern: RegExp): Promise<string> => {
    for (let n = 0; n < 100; n++) {
      const text = screen();
      if (pattern.test(text)) return text;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.fail(`${pattern} is not on the screen:\n${screen()}`);
  };
  const keys = (...list: string[]): void => void tmux("send-keys", "-t", "a", ...list);
  keys("PS1='prompt> '; clear; echo before", "Enter");
  await shows(/before/);
  keys(`'${process.execPath}' '${script}' top`, "Enter");
  const first = await shows(/TENANT +\*IN bit/);
  assert.match(first, /weir0 .*31\.4 Mbit\/s in .*842 flows \+57\/s .*conserved .*by: \[tenant\] vm port flow/);
  assert.match(first, /acme +61M/);
  keys("p");
  await shows(/^PORT .*\n(.*\n)*uplink +1\.21G/m);
  keys("s");
  await shows(/\*OUT bit\/s/);
  keys("f");
  await shows(/DESTINATION/);
  keys("v");
  await shows(/acme\/web1/);
  keys("/");
  keys("tenant=acme");
  await shows(/^\/tenant=acme_/m);
  keys("Enter");
  await shows(/only tenant=acme/);
  keys("/");
  keys(" nokey=1", "Enter");
  await shows(/where: /);
  keys("Space");
  await shows(/FROZEN/);
  keys("q");
  const after = await shows(/before\n(.*\n)*prompt>\s*$/);
  assert.doesNotMatch(after, /FROZEN/);
  // Line editing works again: the terminal is not raw.
  keys("echo restored", "Enter");
  await shows(/^restored/m);
});

test("weir show loads nothing heavy: no schema, no YAML, no datapath", async (t) => {
  const env = await serve(t);
  const folder = mkdtempSync(join(tmpdir(), "weir-coverage-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  // V8 writes down every script that the process has run.
  const done = spawnSync(process.execPath, [script, "show", "system"], { env: { ...env, NODE_V8_COVERAGE: folder } });
  assert.equal(done.status, 0);
  const loaded = readdirSync(folder).flatMap((name) => {
    const { result } = JSON.parse(readFileSync(join(folder, name), "utf8")) as { result: { url: string }[] };
    return result.map(({ url }) => url);
  });
  assert.ok(loaded.some((url) => url.includes("commander")));
  assert.deepEqual(
    loaded.filter((url) => /node_modules\/(zod|yaml|koffi|pino)\/|userspace\/engine|run\/live/.test(url)),
    [],
  );
});
