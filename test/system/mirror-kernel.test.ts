/** `weir mirror start` on a switch in the kernel: a guest's TCP with default offloads, read by tshark while it runs. */
import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import type { MirrorJson } from "../../src/bridge/views/json.ts";
import { api } from "../helpers/api.ts";
import { fileContent } from "../helpers/capture-content.ts";
import { kernelAvailable } from "../helpers/kernel-harness.ts";
import { needs } from "../helpers/needs.ts";
import { type Guest, guests, start, until } from "../helpers/netns.ts";
import { sendFile } from "../helpers/netns-traffic.ts";
import { tsharkFields } from "../helpers/tshark.ts";
import { COMMAND, eventually, pause, startWeir, weirHome } from "../helpers/weir-process.ts";

const FILE_BYTES = 400_000;
const PORT = "5000";

/** Bytes of a stream by its sequence numbers, each once, and the longest frame; every checksum must be right. */
function carried(path: string): { bytes: number; longest: number } {
  const fields = ["tcp.dstport", "tcp.seq", "tcp.len", "frame.len", "ip.checksum.status", "tcp.checksum.status"];
  const checked = ["ip.check_checksum:TRUE", "tcp.check_checksum:TRUE"];
  const segments = new Map<number, number>();
  let longest = 0;
  for (const [to, seq, length, frame, ...statuses] of tsharkFields(path, fields, checked)) {
    longest = Math.max(longest, Number(frame));
    for (const status of statuses) assert.ok(status === "" || status === "1", `checksums of a frame of ${frame} bytes`);
    if (to === PORT) segments.set(Number(seq), Math.max(segments.get(Number(seq)) ?? 0, Number(length)));
  }
  // A segment sent again may begin inside another.
  let bytes = 0;
  let end = 0;
  for (const [seq, length] of [...segments].toSorted(([a], [b]) => a - b)) {
    bytes += Math.max(0, seq + length - Math.max(end, seq));
    end = Math.max(end, seq + length);
  }
  return { bytes, longest };
}

test("a guest's TCP to a SPAN port and to tshark, and the guest notices nothing", { timeout: 90_000 }, async (t) => {
  if (!kernelAvailable(t) || !needs(t, "ip", "tshark", "tcpdump")) return;
  const [a, b, mon] = guests(t, 3, { net: 93 }) as [Guest, Guest, Guest];
  const home = weirHome(t);
  const port = (name: string, { device }: Guest): object => ({ name, type: "netdev", device });
  const ports = [port("a", a), port("b", b), port("mon", mon)];
  home.write({ bridges: [{ name: "weir0", datapath: "kernel", ports }] });
  const weir = await startWeir(t, home);
  assert.equal(weir.json("show", "system").bridges[0].datapath, "kernel");
  weir.ok("mirror", "start", "whole", "--port", "a", "--to", "port:mon", "--bandwidth", "10Gbit", "--rate", "1Mpps");
  const sniffed = join(home.folder, "span.pcap");
  const sniffer = start(t, mon, "tcpdump", "-U", "-w", sniffed, "-i", "eth0", "tcp", "port", PORT);
  await until(() => sniffer.output().includes("listening"), "tcpdump listens");
  const captured = join(home.folder, "captured.pcapng");
  const weirCommand = `${process.execPath} ${COMMAND} mirror start live --port a --to - --filter 'tcp port ${PORT}' --bandwidth 10Gbit --rate 1Mpps`;
  const reader = start(
    t,
    undefined,
    "sh",
    "-c",
    `WEIR_API=unix:${home.socket} ${weirCommand} | tshark -n -i - -w ${captured}`,
  );
  const mirrors = (): MirrorJson[] => weir.json<{ items: MirrorJson[] }>("show", "mirrors").items;
  const live = (): MirrorJson | undefined => mirrors().find(({ name }) => name === "live");
  await eventually(live, (one) => one?.outputs[0]?.state === "running", "the reader is there");

  await sendFile(t, a, b, b.ip, FILE_BYTES);

  const { sent } = live()!;
  const done = await eventually(live, (one) => one!.outputs[0]!.sent >= sent, "all is handed on");
  assert.deepEqual([done!.queueDropped, done!.failed, done!.rateDropped], [0, 0, 0]);
  const size = (): number => statSync(captured, { throwIfNoEntry: false })?.size ?? 0;
  await eventually(size, (bytes) => bytes > FILE_BYTES, "tshark has written");
  weir.ok("mirror", "stop", "live");
  await reader.ended;
  const stream = carried(captured);
  assert.deepEqual([stream.bytes, stream.longest <= 1514], [FILE_BYTES, true]);
  weir.ok("mirror", "stop", "whole");
  await sniffer.stop();
  const span = tsharkFields(sniffed, ["tcp.dstport", "tcp.len", "frame.len"]);
  assert.ok(
    span.some(([, , frame]) => Number(frame) > 1514),
    "super-packets, as they were",
  );
  const bytes = span.reduce((sum, [to, length]) => sum + (to === PORT ? Number(length) : 0), 0);
  assert.ok(bytes >= FILE_BYTES, `${bytes} bytes`);
});

test(
  "sessions that end under load add up, whichever datapath; a filter too long is refused in words",
  { timeout: 60_000 },
  async (t) => {
    if (!kernelAvailable(t) || !needs(t, "ip", "iperf3")) return;
    const members = guests(t, 4, { net: 92 }) as [Guest, Guest, Guest, Guest];
    const pairs = { userspace: members.slice(0, 2), kernel: members.slice(2) } as const;
    const home = weirHome(t);
    const bridges = Object.entries(pairs).map(([datapath, pair]) => ({
      name: datapath,
      datapath,
      ports: pair.map(({ device }, n) => ({ name: `${datapath[0]}${n}`, type: "netdev", device })),
    }));
    home.write({ captures: { dir: home.folder }, bridges });
    await startWeir(t, home);
    const long = `${Array.from({ length: 415 }, (_, n) => `ether[${n % 60}]`).join("+")} > 0`;
    const refused = home.run("mirror", "start", "long", "--port", "k0", "--to", "port:k1", "--filter", long);
    assert.notEqual(refused.status, 0);
    assert.match(refused.stderr, /filter: 20\d\d instructions.*a session has room for 2048\. Write it shorter/);

    await Promise.all(
      Object.values(pairs).map(async ([a, b]) => {
        const server = start(t, b, "iperf3", "-s", "-1", "--forceflush");
        await until(() => server.output().includes("listening"), "iperf3 listens");
        start(t, a, "iperf3", "-c", b!.ip, "-t", "30");
      }),
    );
    for (const datapath of ["userspace", "kernel"])
      for (let n = 0; n < 4; n++) {
        const path = `mirrors/${datapath}${n}`;
        const file = `${datapath}${n}.pcapng`;
        const outputs = [{ type: "file", path: file }];
        await api(home.socket, "PUT", path, { select: { ports: [`${datapath[0]}0`] }, snaplen: 60, outputs });
        while ((await api<MirrorJson>(home.socket, "GET", path)).matched < 1000) await pause(10);
        const end = await api<MirrorJson>(home.socket, "DELETE", path);
        const { matched, sent, sampledOut, rateDropped, queueDropped } = end;
        assert.equal(matched, sent + sampledOut + rateDropped + queueDropped, JSON.stringify(end));
        assert.equal(fileContent(join(home.folder, file)).packets.length, end.outputs[0]!.sent);
        assert.equal(end.outputs[0]!.sent, sent);
      }
  },
);
