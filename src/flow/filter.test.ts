import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { compileFilter, FilterError, FLOW_KEYS, parseFilter } from "./filter.ts";

const flow = {
  id: "weir0/1/81f",
  port: "web1",
  vlan: 100,
  ethSrc: "52:54:00:aa:10:02",
  ethDst: "ff:ff:ff:ff:ff:ff",
  etherType: 0x0800,
  ipSrc: "10.1.0.5",
  ipDst: "2001:db8::9",
  proto: 6,
  srcPort: 443,
  dstPort: 51514,
  bytes: 1_690_000,
  output: ["web2", "uplink"],
  disposition: "forwarded",
  owner: { tenant: "acme", vm: "web1", labels: { rack: "r7" } },
  outputOwner: { tenant: "globex", vm: "Two Words" },
  tenant: "acme",
};

const matches = (text: string, item: object = flow): boolean => compileFilter(text, FLOW_KEYS)(item);

test("terms that hold", () => {
  const yes = `
    port=web1|port=web*|port=web?|port=a,web1|vlan=100|vlan>99|vlan<101|srcPort=80,443|proto=tcp|proto=6|proto=udp,TCP
    etherType=ipv4|etherType=0x800|etherType=2048|ip=10.1.0.5|ip=10.0.0.0/8|ip=2001:db8::/32|ip=2001:0db8:0:0::9
    ipSrc=10.1.0.5|mac=52:54:00:AA:10:02|mac=52:54:*|ethDst=ff:ff:ff:ff:ff:ff|output=web2|output=up*|vm=web1
    vm="two words"|tenant=globex|tenant=acme|owner.labels.rack=r7|bytes>1.6M|bytes<2M|vlan!=200|tunnelId!=7
    dropReason!=acl|web1|WEB|r7|10.1.0|443|"Two Words"||tenant=acme dstPort=51514 web|etherType!=arp|port!=a,b`;
  for (const text of yes.split(/[|\n]/)) assert.ok(matches(text.trim()), text);
});

test("terms that do not hold", () => {
  const no = `port=web|vlan=10|vlan>100|vlan<100|srcPort=44|proto=udp|ip=10.1.0.6|ip=10.2.0.0/16|ipDst=10.0.0.0/8
    mac=52:54:00:aa:10:03|output=web3|vm=web2|tenant=initech|bytes>2M|port!=web1|port!=a,web1|tenant!=globex
    tunnelId=1|tunnelId>0|dropped|web3|44|tenant=acme vlan=101|ip!=10.1.0.5|tos<256`;
  for (const text of no.split(/[|\n]/)) assert.ok(!matches(text.trim()), text);
});

test("dropped is what was refused, of flows and of ports", () => {
  assert.ok(matches("dropped", { disposition: "dropped" }));
  assert.ok(matches("dropped", { disposition: "forwarded", droppedPackets: 3 }));
  assert.ok(matches("dropped", { name: "web1", dropped: 3 }));
  assert.ok(!matches("dropped", { name: "web1", dropped: 0 }));
});

test("what cannot be read is said, with what to write", () => {
  const says = (text: string, message: RegExp): void =>
    assert.throws(
      () => matches(text),
      (error: Error) => {
        assert.ok(error instanceof FilterError);
        assert.match(error.message, message);
        return true;
      },
    );
  says("dstport=443", /no key dstport here.*dstPort/);
  says("vlan=", /value is missing/);
  says("vlan>a", /takes one number/);
  says("vlan>1,2", /takes one number/);
  says("vlan>=1", /no >=/);
  says('vm="open', /not closed/);
  says("a ".repeat(100), /at most 64/);
  says(`vlan=${"1,".repeat(300)}1`, /at most 256/);
});

test("terms come apart as written", () => {
  assert.deepEqual(parseFilter('a=1,2  b!="x,y",z word c>1k'), [
    { key: "a", op: "=", values: ["1", "2"] },
    { key: "b", op: "!=", values: ["x,y", "z"] },
    { op: "=", values: ["word"] },
    { key: "c", op: ">", values: ["1k"] },
  ]);
});

test("any text is a filter or a FilterError, in bounded time", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 300, unit: "binary" }), (text) => {
      try {
        compileFilter(text)(flow);
      } catch (error) {
        assert.ok(error instanceof FilterError, String(error));
      }
    }),
    { numRuns: 500 },
  );
  const from = performance.now();
  compileFilter("*a*a*a*a*a*a*a*b")({ port: "a".repeat(10_000) });
  assert.ok(performance.now() - from < 500);
});
