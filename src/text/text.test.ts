import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import * as z from "zod";
import { bitRate, byteSize, duration, macAddress, packetRate, percent, vlanId, vlanList, vlanSet } from "./fields.ts";
import { didYouMean, editDistance, nearest } from "./suggest.ts";
import { BIT_RATE, BYTE_SIZE, DURATION, PACKET_RATE, PERCENT, formatQuantity, parseQuantity } from "./units.ts";

const parse = (schema: z.ZodType, input: unknown) => {
  const result = schema.safeParse(input);
  return result.success ? result.data : result.error.issues.map((issue) => [...issue.path, issue.message].join(": "));
};

test("quantities: one number, one unit", () => {
  assert.deepEqual(
    ["250ms", "60s", "5m", "2h", "1d", "1.5s", "0.07s", "60 s"].map((input) => parse(duration(), input)),
    [250, 60_000, 300_000, 7_200_000, 86_400_000, 1500, 70, 60_000],
  );
  assert.deepEqual(
    ["400pps", "5kpps", "1.2Mpps"].map((input) => parse(packetRate(), input)),
    [400, 5000, 1_200_000],
  );
  assert.deepEqual(
    ["8bit", "10Mbit", "1Gbps", "64kbps"].map((input) => parse(bitRate(), input)),
    [8, 1e7, 1e9, 64e3],
  );
  assert.deepEqual(
    [512, "512", "4KiB", "64MiB", "1GiB", "1.5KiB"].map((input) => parse(byteSize(), input)),
    [512, 512, 4096, 67108864, 1073741824, 1536],
  );
  assert.equal(parse(percent(), "50%"), 0.5);
});

test("a quantity that is not one says what to write", () => {
  const cases: [z.ZodType, unknown, RegExp][] = [
    [duration(), 60, /^60 has no unit: write 60s \(s ms m h d\)$/],
    [duration(), "60", /write 60s/],
    [duration(), "5min", /write 5m /],
    [duration(), "5 minutes", /write 5m /],
    [duration(), "60S", /write 60s/],
    [duration(), "1m30s", /is not a duration/],
    [duration(), "-5s", /is not a duration/],
    [duration(), "10Mbit", /is not a duration/],
    [duration(), { a: 1 }, /expected a duration such as 10s/],
    [duration(), null, /expected a duration/],
    [duration(), undefined, /^required$/],
    [duration({ min: 1000, max: 60_000 }), "2m", /^2m is out of range: 1s to 1m$/],
    [duration(), "s".repeat(1_000_000), /is not a duration/],
    [packetRate(), 5000, /write 5000pps/],
    [packetRate(), "5KPPS", /write 5kpps/],
    [bitRate(), "10mbit", /write 10Mbit/],
    [bitRate(), "10Mbit/s", /write 10Mbit/],
    [byteSize(), "64MB", /write 64MiB/],
    [byteSize(), "0.3", /not a whole number of bytes/],
    [byteSize(), 1.5, /not a whole number of bytes/],
    [percent(), 50, /write 50%/],
    [percent(), "150%", /out of range: 0% to 100%/],
    [duration(), "1constructor", /is not a duration/],
  ];
  for (const [schema, input, expected] of cases) assert.match(String(parse(schema, input)), expected);
});

test("what formatQuantity writes is read back to the same value", () => {
  assert.equal(formatQuantity(60_000, DURATION), "1m");
  assert.equal(formatQuantity(5000, PACKET_RATE), "5kpps");
  assert.equal(formatQuantity(0, DURATION), "0ms");
  assert.equal(formatQuantity(0.5, PERCENT), "50%");
  assert.equal(formatQuantity(1000, BYTE_SIZE), "1000");
  for (const unit of [DURATION, PACKET_RATE, BIT_RATE, BYTE_SIZE])
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 42 }), (value) => {
        assert.deepEqual(parseQuantity(formatQuantity(value, unit), unit), { value });
      }),
    );
});

test("VLAN ids, ranges and sets", () => {
  assert.equal(parse(vlanId(), 4094), 4094);
  for (const bad of [0, 4095, 5000, -1, 1.5, "100", null])
    assert.match(String(parse(vlanId(), bad)), /is not a VLAN id \(1\.\.4094\)/);
  assert.deepEqual(parse(vlanList(), ["100-103", 300, "102-104"]), [100, 101, 102, 103, 104, 300]);
  assert.equal(parse(vlanSet(), "all"), "all");
  assert.deepEqual(parse(vlanSet(), [7, "9-10"]), [7, 9, 10]);
  assert.deepEqual(parse(vlanSet(), [7, 0, "5-4"]), [
    "1: 0 is not a VLAN id (1..4094)",
    "2: 5-4 runs backwards: write 4-5",
  ]);
  assert.match(String(parse(vlanSet(), 100)), /write \[100\] or all/);
  assert.match(String(parse(vlanSet(), "100-200")), /write \[100-200\] or all/);
  assert.match(String(parse(vlanSet(), [])), /empty list/);
  assert.match(String(parse(vlanList(), ["100,200"])), /is not a VLAN range/);
});

test("MAC addresses", () => {
  assert.equal(parse(macAddress(), "52-54-00-AA-bb-01"), "52:54:00:aa:bb:01");
  for (const bad of ["52:54:00", "52:54:00:12:34:5g", "525400123456"])
    assert.match(String(parse(macAddress(), bad)), /"52:54:00:12:34:56"/);
});

test("every field describes itself to editors", () => {
  const schema = z.strictObject({ t: duration(), r: packetRate(), b: byteSize(), v: vlanSet(), m: macAddress() });
  const json = z.toJSONSchema(schema, { target: "draft-07", io: "input" }) as any;
  assert.deepEqual(json.required, ["t", "r", "b", "v", "m"]);
  assert.match("60s", new RegExp(json.properties.t.pattern));
  assert.doesNotMatch("60", new RegExp(json.properties.t.pattern));
});

test("did you mean", () => {
  assert.equal(editDistance("kitten", "sitting"), 3);
  assert.equal(editDistance("trnuk", "trunk"), 1);
  assert.equal(nearest("prots", ["ports", "name", "mode"]), "ports");
  assert.equal(nearest("x", ["ports", "name"]), undefined);
  assert.equal(didYouMean("bandwith", ["bandwidth"]), ' (did you mean "bandwidth"?)');
  assert.equal(didYouMean("zzz", ["bandwidth"]), "");
});
