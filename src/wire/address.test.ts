import { test } from "node:test";
import assert from "node:assert/strict";
import { isIPv4, isIPv6 } from "node:net";
import fc from "fast-check";
import {
  formatIp,
  formatIpv4,
  formatIpv6,
  formatMac,
  formatPrefix,
  parseIp,
  parseIpv4,
  parseIpv6,
  parseMac,
  parsePrefix,
  prefixContains,
} from "./address.ts";

test("MAC addresses: strict, round trip", () => {
  for (const text of ["52:54:00:12:34:56", "ff:ff:ff:ff:ff:ff"]) assert.equal(formatMac(parseMac(text)!), text);
  assert.deepEqual(parseMac("52-54-00-AB-cd-01"), Uint8Array.of(0x52, 0x54, 0, 0xab, 0xcd, 1));
  for (const text of [
    "",
    "52:54:00:12:34",
    "52:54:00:12:34:5",
    "52:54-00:12:34:56",
    "52:54:00:12:34:56 ",
    "5254.0012.3456",
  ])
    assert.equal(parseMac(text), undefined, text);
});

test("IPv4 addresses: no short forms, no leading zeros", () => {
  for (const text of ["0.0.0.0", "10.1.2.3", "255.255.255.255"]) assert.equal(formatIpv4(parseIpv4(text)!), text);
  for (const text of ["10.1", "010.1.2.3", "1.2.3.256", "1.2.3.4.5", "1.2.3.", " 1.2.3.4", "0x1.2.3.4"])
    assert.equal(parseIpv4(text), undefined, text);
});

test("IPv6 addresses are written as RFC 5952 says", () => {
  const written: Record<string, string> = {
    "2001:0db8:0:0:0:0:2:1": "2001:db8::2:1",
    "2001:db8:0:1:1:1:1:1": "2001:db8:0:1:1:1:1:1",
    "2001:0:0:1:0:0:0:1": "2001:0:0:1::1",
    "2001:db8:0:0:1:0:0:1": "2001:db8::1:0:0:1",
    "2001:DB8::AAAA": "2001:db8::aaaa",
    "0:0:0:0:0:0:0:0": "::",
    "1:0:0:0:0:0:0:0": "1::",
    "::1": "::1",
    "::FFFF:192.0.2.1": "::ffff:192.0.2.1",
    "64:ff9b::192.0.2.33": "64:ff9b::c000:221",
  };
  for (const [text, expected] of Object.entries(written)) assert.equal(formatIpv6(parseIpv6(text)!), expected, text);
  for (const text of ["", ":", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7::8:9", "12345::"])
    assert.equal(parseIpv6(text), undefined, text);
  for (const text of ["fe80::1%eth0", "::1.2.3", "::1.2.3.4:5", "1.2.3.4", "::g", " ::1"])
    assert.equal(parseIpv6(text), undefined, text);
});

test("IPv6 addresses: what URLs make of them", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.integer({ min: 0, max: 255 }), (bytes, zeros) => {
      for (let group = 0; group < 8; group++) if (zeros & (1 << group)) bytes.fill(0, 2 * group, 2 * group + 2);
      const text = formatIpv6(bytes);
      assert.deepEqual(parseIpv6(text), bytes);
      if (!text.startsWith("::ffff:")) assert.equal(`[${text}]`, new URL(`http://[${text}]`).hostname);
    }),
  );
});

test("what is an address at all: as node:net says", () => {
  const part = fc.constantFrom("0", "1", "ab", "ffff", "10", "255", "256", ":", "::", ".", "1.2.3.4", "01", "g", "");
  fc.assert(
    fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
      const text = parts.join("");
      assert.equal(parseIpv4(text) !== undefined, isIPv4(text), text);
      assert.equal(parseIpv6(text) !== undefined, isIPv6(text), text);
    }),
    { numRuns: 5000 },
  );
});

test("prefixes", () => {
  assert.equal(formatPrefix(parsePrefix("10.1.2.3/8")!), "10.0.0.0/8");
  assert.equal(formatPrefix(parsePrefix("10.1.2.3")!), "10.1.2.3/32");
  assert.equal(formatPrefix(parsePrefix("2001:db8:ffff::/33")!), "2001:db8:8000::/33");
  assert.equal(formatPrefix(parsePrefix("::/0")!), "::/0");
  for (const text of ["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/08", "::/129", "/8", "10.0.0.0/8/8", "10.0.0.0/-1"])
    assert.equal(parsePrefix(text), undefined, text);
  const inside = (prefix: string, ip: string): boolean => prefixContains(parsePrefix(prefix)!, parseIp(ip)!);
  assert.ok(inside("192.0.2.128/25", "192.0.2.200"));
  assert.ok(!inside("192.0.2.128/25", "192.0.2.100"));
  assert.ok(inside("0.0.0.0/0", "255.1.1.1"));
  assert.ok(!inside("0.0.0.0/0", "::1"));
  assert.ok(inside("fe80::/10", "febf::1"));
  assert.ok(!inside("fe80::/10", "fec0::1"));
  assert.equal(formatIp(parseIp("FE80::1")!), "fe80::1");
});
