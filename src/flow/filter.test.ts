import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { FLOW_KEYS, FilterError, compileFilter } from "./filter.ts";
import { parseFrameSpec, frameOf } from "./frame-spec.ts";

const flow = {
  id: "weir0/2/81f",
  bridge: "weir0",
  port: "web1",
  ifIndex: 20001,
  vlan: 100,
  ethSrc: "52:54:00:aa:10:01",
  ethDst: "52:54:00:aa:10:02",
  etherType: 0x0800,
  ipSrc: "10.1.0.5",
  ipDst: "192.0.2.77",
  proto: 6,
  srcPort: 443,
  dstPort: 51514,
  tcpFlags: 0x1b,
  packets: 9000,
  bytes: 5_000_000,
  pps: 1200,
  bps: 12_000_000,
  output: ["uplink", "db1"],
  outputOwner: { tenant: "globex", vm: "gw" },
  disposition: "forwarded",
  forwardingStatus: 64,
  owner: { tenant: "acme", vm: "web1", labels: { rack: "r7" } },
  tenant: "acme",
};
const dropped = {
  port: "db1",
  ipSrc: "2001:db8::1",
  ipDst: "2001:db8:0:0::2",
  disposition: "dropped",
  dropReason: "ingress_vlan_filter",
  droppedPackets: 9,
  output: [],
  etherType: 0x86dd,
  proto: 58,
};

const yes = (text: string, item: object = flow) => assert.equal(compileFilter(text)(item), true, text);
const no = (text: string, item: object = flow) => assert.equal(compileFilter(text)(item), false, text);

test("keys of the JSON: equal, not equal, less, greater, lists, globs, ranges", () => {
  for (const text of [
    "",
    "port=web1",
    "port=db1,web*",
    "port!=db1",
    "vlan=100",
    "vlan=90-110",
    "vlan=7,100",
    "dstPort>1024 dstPort<60000",
    "vlan>=100 vlan<=100",
    "output=db1",
    "tcpFlags=0x1b",
    "innerVlan=none",
    "innerVlan!=5",
    "disposition=forwarded",
    "owner.labels.rack=r7",
    "label.rack=r?",
    'port="web1"',
  ])
    yes(text);
  for (const text of [
    "port=web",
    "port!=db1,web1",
    "vlan=none",
    "vlan!=100",
    "vlan=1-99",
    "innerVlan<5",
    "innerVlan=5",
    "output!=db1",
    "port=web1 vlan=7",
  ])
    no(text);
});

test("short forms; ip and mac match either end, tenant any of three", () => {
  for (const text of [
    "vm=web1",
    "tenant=acme",
    "tenant=globex",
    "ip=10.1.0.5",
    "ip=192.0.2.0/24",
    "mac=52:54:00:aa:10:02",
  ])
    yes(text);
  for (const text of [
    "tenant=initech",
    "tenant!=globex",
    "ip=10.1.0.50",
    "ipSrc=192.0.2.0/24",
    "mac=52:54:00:aa:10:03",
  ])
    no(text);
  yes("tenant=hooli", { ...flow, tenants: ["hooli"] });
  yes("vm=gw");
  yes("mac=52-54-00-AA-*");
  yes("ip=2001:db8::/32", dropped);
  yes("ipDst=2001:db8::2", dropped);
  yes("ip=10.1.*");
});

test("names and units where the key has them", () => {
  for (const text of [
    "proto=tcp",
    "proto=udp,tcp",
    "etherType=ipv4",
    "etherType=0x800",
    "bps>10Mbit",
    "pps>1kpps",
    "bytes<5MiB",
    "packets=9000",
  ])
    yes(text);
  for (const text of ["proto=udp", "etherType=arp", "bps>20Mbit", "bytes<1KiB"]) no(text);
});

test("bare words: dropped, addresses, any text, numbers that name something", () => {
  yes("dropped", dropped);
  no("dropped");
  yes("!dropped");
  for (const text of [
    "443",
    "tcp",
    "WEB1",
    "globex",
    "10.1.0.5",
    "192.0.2.0/24",
    "r7",
    "aa:10:01",
    "upl*",
    "ipv4",
    "100",
  ])
    yes(text);
  for (const text of ["9000", "10.1.0.50"]) no(text);
  for (const text of ["udp", "44", "nosuch", "!tcp"]) no(text);
  yes("icmpv6", dropped);
  yes('"ingress_vlan"', dropped);
});

test("errors name the column and what may have been meant", () => {
  const cases: [string, number, RegExp][] = [
    ["port=web1 dstprt=443", 11, /no key dstprt here \(did you mean "dstPort"\?\)/],
    ["port=", 6, /port= needs a value/],
    ["port=a,,b", 8, /an item of the list is empty/],
    ["port<5", 1, /port is no number/],
    ["vlan=abc", 6, /vlan: "abc" is not a number/],
    ["proto=tpc", 7, /did you mean "tcp"/],
    ["bps>10mbit", 5, /write 10Mbit/],
    ["ip=10.1.0", 4, /is not an address or prefix/],
    ["mac=zz", 5, /is not a MAC address/],
    ["=5", 1, /a key belongs before =/],
    ['port="web1', 6, /is not closed/],
    ["a !", 3, /nothing to look for/],
    ["x".repeat(5000), 4096, /longer than 4096/],
  ];
  for (const [text, column, message] of cases)
    assert.throws(
      () => compileFilter(text),
      (error) => error instanceof FilterError && error.column === column && message.test(error.message),
      text,
    );
});

test("upper and lower case are the same; words and lists may be quoted", () => {
  const named = { ...flow, owner: { vm: "Two Words, and more" } };
  for (const text of ['vm="two words, and more"', 'vm=x,"Two Words*"', '"TWO words"', "port=WEB1", "proto=TCP"])
    yes(text, named);
  no('vm="two words",more', named);
});

test("a list's own keys are known beside the language's", () => {
  const item = { name: "p1", conserved: true, trust: { level: 7, note: "Fine" } };
  const keep = (text: string) => compileFilter(text, Object.keys(item))(item);
  for (const text of ["conserved=true", "trust.level=7", "trust.level>6", "trust.note=fi*", "name=p1"])
    assert.ok(keep(text), text);
  assert.throws(() => keep("port=p1"), /column 1: there is no key port here/);
  assert.throws(() => keep("nmae=p1"), /did you mean "name"/);
  assert.throws(() => compileFilter("dstport=443", FLOW_KEYS), /did you mean "dstPort"/);
  compileFilter("ip=10.0.0.1 vm=a owner.labels.rack=r7 label.x=y", FLOW_KEYS)({});
});

test("the size of a filter is bounded, and so is its time", () => {
  assert.throws(() => compileFilter("a ".repeat(100)), /at most 64 terms/);
  assert.throws(() => compileFilter(`vlan=${"1,".repeat(300)}1`), /at most 256 values/);
  const from = performance.now();
  compileFilter("*a*a*a*a*a*a*a*b")({ port: "a".repeat(10_000) });
  assert.ok(performance.now() - from < 500);
});

test("any text is a filter or a FilterError, and a filter never throws", () => {
  const word = fc.oneof(
    fc.constantFrom("port=", "ip=", "10.0.0.0/8", "dropped", "!", '"', "vlan>", "*", ",", " ", "proto"),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(word), fc.anything(), (words, value) => {
      let filter;
      try {
        filter = compileFilter(words.join(""));
      } catch (error) {
        assert.ok(error instanceof FilterError);
        assert.ok(error.column >= 1);
        return;
      }
      filter(flow);
      filter(dropped);
      filter(value);
    }),
    { numRuns: 500 },
  );
});

test("a frame described for weir trace", () => {
  const spec = parseFrameSpec("vlan=200 ipSrc=10.2.0.9 ipDst=10.2.0.1 proto=icmp");
  assert.deepEqual(spec, { vlan: 200, ipSrc: "10.2.0.9", ipDst: "10.2.0.1", proto: 1 });
  const { frame, invented } = frameOf(spec);
  assert.deepEqual(invented, ["ethSrc", "ethDst", "icmpType"]);
  assert.deepEqual([...frame.subarray(12, 18)], [0x81, 0, 0, 200, 8, 0]);
  assert.deepEqual(frameOf(parseFrameSpec("etherType=arp ethSrc=52-54-00-AA-00-01")).invented, [
    "ethDst",
    "arpOp",
    "ipSrc",
    "ipDst",
  ]);
  assert.equal(frameOf(parseFrameSpec("ipSrc=2001:db8::5 dstPort=443")).frame[12], 0x86);
  assert.equal(frameOf(parseFrameSpec("etherType=0x88cc")).frame.length, 60);
  assert.equal(frameOf({}).frame[23], 6);
});

test("a frame that cannot be says why", () => {
  const cases: [string, RegExp][] = [
    ["tcp", /described by key=value/],
    ["ipsrc=10.0.0.1", /did you mean "ipSrc"/],
    ["dstPort>5", /has one dstPort/],
    ["vlan=1 vlan=2", /is there already/],
    ["vlan=5000", /vlan: 5000 is not a whole number up to 4095/],
    ["ipSrc=10.0.0.0/8", /is not an address/],
    ["ethDst=52:54", /is not a MAC address/],
    ["ipSrc=10.0.0.1 ipDst=::1", /different families/],
    ["proto=icmp dstPort=5", /ports belong to/],
    ["etherType=arp dstPort=5", /ARP frame/],
    ["etherType=lldp ipSrc=10.0.0.1", /IP fields belong/],
    ["innerVlan=5", /needs vlan/],
    ["icmpType=8 srcPort=5", /not both/],
  ];
  for (const [text, message] of cases) assert.throws(() => parseFrameSpec(text), message, text);
});

test("every description that is accepted makes a frame", () => {
  const field = fc.constantFrom(
    ..."vlan=5 innerVlan=6 pcp=7 ipSrc=10.0.0.1 ipDst=10.0.0.2 ipDst=::1 proto=tcp proto=udp proto=icmp".split(" "),
    ..."proto=icmpv6 proto=47 tos=184 srcPort=1 dstPort=2 icmpType=3 icmpCode=1 arpOp=2 tcpFlags=2".split(" "),
    ..."etherType=arp etherType=ipv6 etherType=ipv4 etherType=0x1234 etherType=100 ethSrc=52:54:00:00:00:09".split(" "),
  );
  fc.assert(
    fc.property(fc.uniqueArray(field, { maxLength: 6 }), (fields) => {
      let spec;
      try {
        spec = parseFrameSpec(fields.join(" "));
      } catch (error) {
        assert.ok(error instanceof FilterError);
        return;
      }
      assert.ok(frameOf(spec).frame.length >= 14);
    }),
    { numRuns: 1000 },
  );
});
