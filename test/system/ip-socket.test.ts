/** Raw IP sockets, with a guest as the far end and tcpdump as the witness: ERSPAN's way out. */
import assert from "node:assert/strict";
import { join } from "node:path";
import test from "node:test";
import { openIpSocket, type IpSocket } from "../../src/sys/ip-socket.ts";
import { EMSGSIZE } from "../../src/sys/libc.ts";
import { parseIpv6 } from "../../src/wire/address.ts";
import { buildFrame } from "../../src/wire/builder.ts";
import { ENCAP_TAG_KEPT, erspanBytes, MAX_SESSION, PROTO_GRE, writeErspanII } from "../../src/wire/erspan.ts";
import { needs, needsRoot } from "../helpers/needs.ts";
import { type Guest, guests, sh, start, until } from "../helpers/netns.ts";
import { tsharkFields, withFolderAsync } from "../helpers/tshark.ts";

const OPTIONS = { protocol: PROTO_GRE, ttl: 33, tos: 0x20, bufferBytes: 1 << 20 };
const address = (text: string): Uint8Array => parseIpv6(text) ?? Uint8Array.from(text.split("."), Number);

/** ERSPAN II with a frame of `inner` bytes. */
function packet(sequence: number, inner: number): Uint8Array {
  const frame = buildFrame({
    vlans: [{ vid: 100 }],
    ip: { src: "10.1.0.5", dst: "10.1.0.9" },
    udp: { src: 9, dst: 9 },
    payload: inner - 46,
  });
  const bytes = new Uint8Array(erspanBytes("II") + frame.length);
  bytes.set(frame, writeErspanII(bytes, 0, sequence, MAX_SESSION, 100, ENCAP_TAG_KEPT, false, 7));
  return bytes;
}

test("packets of a raw IP socket arrive, with TTL and TOS; what is too long is refused, or cut in fragments", async (t) => {
  if (!needsRoot(t) || !needs(t, "ip", "tcpdump", "tshark")) return;
  const [guest] = guests(t, 1, { net: 83 }) as [Guest];
  sh("ip", "addr", "add", "10.83.0.100/24", "dev", guest.device);
  sh("ip", "addr", "add", "2001:db8::100/64", "dev", guest.device, "nodad");
  await withFolderAsync(async (folder) => {
    const path = join(folder, "gre.pcap");
    const filter = "proto 47 or ip6 proto 47 or ip6[6] = 44";
    const witness = start(t, guest, "tcpdump", "-i", "eth0", "-p", "-U", "-w", path, filter);
    await until(() => witness.output().includes("listening"), "tcpdump listens");
    const sockets: IpSocket[] = [];
    const open = (remote: string, fragment: boolean): IpSocket => {
      const socket = openIpSocket({ ...OPTIONS, remote: address(remote), fragment });
      sockets.push(socket);
      return socket;
    };
    t.after(() => sockets.forEach((socket) => socket.close()));
    const small = packet(1, 100);
    const long = packet(2, 1500);
    for (const [remote, source, mtu] of [
      [guest.ip, "10.83.0.100", 1480],
      ["2001:db8::1", "2001:db8::100", 1460],
    ] as const) {
      const exact = open(remote, false);
      assert.deepEqual(exact.source, address(source));
      assert.equal(exact.payloadMtu(), mtu);
      assert.equal(exact.send(small, small.length), 0);
      assert.equal(exact.send(long, long.length), EMSGSIZE);
      assert.equal(exact.send(long, mtu), 0);
      assert.equal(open(remote, true).send(long, long.length), 0);
    }
    const seen = (): string[][] =>
      tsharkFields(path, ["ip.len", "ipv6.plen", "ip.ttl", "ipv6.hlim", "ip.dsfield", "ipv6.tclass", "erspan.spanid"]);
    await until(() => seen().length >= 8, "all packets are seen");
    const v4 = (bytes: number): (string | undefined)[] => [`${bytes + 20}`, "", "33", "", "0x20", "", "1023"];
    // Of IPv6 the first IPv4 that tshark sees is the mirrored one.
    const v6 = (row: string[] | undefined): (string | undefined)[] => [row?.[1], row?.[3], row?.[5], row?.[6]];
    const v6Says = (bytes: number): string[] => [`${bytes}`, "33", "0x00000020", "1023"];
    const rows = seen();
    assert.deepEqual(rows[0], v4(small.length));
    assert.deepEqual(rows[1], v4(1480));
    assert.deepEqual(v6(rows[4]), v6Says(small.length));
    assert.deepEqual(v6(rows[5]), v6Says(1460));
    assert.equal(Number(rows[2]![0]) + Number(rows[3]![0]), long.length + 40, "two fragments");
    await witness.stop();
  });
});

test("an address that is not ours is an error that says so", (t) => {
  if (!needsRoot(t)) return;
  const options = { ...OPTIONS, remote: address("127.0.0.1"), fragment: false, source: address("203.0.113.77") };
  assert.throws(() => openIpSocket(options), /source address.*EADDRNOTAVAIL/);
});
