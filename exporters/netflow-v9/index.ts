/**
 * NetFlow version 9 (RFC 3954): when a datagram leaves, when templates are repeated, what counts. Fields are those of
 * src/flow/elements.ts, bytes those of src/wire/template.ts; README.md has the table.
 */
import * as z from "zod";
import { ownerText } from "../../src/flow/attachment.ts";
import { FAMILIES, familyOf, flowFields, SAMPLER, SYS_UPTIME_AT_BOOT_MS, writeFlow } from "../../src/flow/elements.ts";
import type { RecordBatch, RecordCursor } from "../../src/shm/log.ts";
import type { Exporter, ExporterEnv, ExporterStatus, ExporterType, Moment } from "../../src/telemetry/exporter.ts";
import { Progress } from "../../src/telemetry/progress.ts";
import { INTERFACE_DESCRIPTION, INTERFACE_NAME } from "../../src/wire/ipfix-elements.ts";
import { Message, NETFLOW_V9, numberTemplates, setText, setUint64 } from "../../src/wire/template.ts";
import type { Template } from "../../src/wire/template.ts";
import {
  EXPORTER_OPTIONS,
  INTERFACE_OPTIONS,
  INTERFACE_OPTIONS_NFDUMP,
  INTERVAL_OPTIONS,
  MODE_DETERMINISTIC,
  MODE_RANDOM,
  SAMPLING_OPTIONS,
} from "./options.ts";

/** A datagram leaves at the first tick after this age, so with ticks four times a second within 1 s of its first record. */
export const FLUSH_AFTER_MS = 500;
/** Templates and options are said again after so many datagrams, or after this long: what comes first. */
export const REPEAT_DATAGRAMS = 20;
export const REPEAT_MS = 30_000;
/** Ports are compared with what was said of them this often. */
const LOOK_MS = 1000;

/** Subtracting two clocks must not give a boot time 1 ms below that of the records. */
const CLOCK_NOISE_MS = 0.001;

const TWO_32 = 4294967296;

const PROFILES = ["standard", "full", "goflow2", "akvorado", "telegraf", "nfdump", "pmacct", "fastnetmon"] as const;

const schema = z.strictObject({
  /** Source id: with the address what a collector tells exporters apart by. */
  sourceId: z.int().min(0).max(0xffffffff).default(1),
  profile: z.enum(PROFILES).default("standard"),
  /** Local address that datagrams leave from. */
  source: z.union([z.ipv4(), z.ipv6()]).optional(),
  /** Set where what Weir receives was sampled 1 in `rate` before: collectors multiply. Weir itself counts every frame. */
  sampling: z
    .strictObject({
      rate: z.int().min(1).max(0xffffffff),
      mode: z.enum(["deterministic", "random"]).default("deterministic"),
    })
    .optional(),
});

export type NetflowV9Options = z.output<typeof schema>;

const netflowV9: ExporterType<NetflowV9Options> = {
  schema,
  defaultPort: 2055,
  identity: (options) => `source id ${options.sourceId}`,
  source: (options) => options.source,
  open: (options, env) => new NetflowV9(options, env),
};

export default netflowV9;

class NetflowV9 implements Exporter {
  private readonly env: ExporterEnv;
  private readonly domain: number;
  /** nfdump 1.7 knows one form of the interface table. */
  private readonly plain: boolean;
  private readonly rate: number;
  private readonly mode: number;
  private readonly fields: Record<(typeof FAMILIES)[number], ReturnType<typeof flowFields>>;
  private readonly flows: Record<(typeof FAMILIES)[number], Template>;
  private readonly options: Record<"sampling" | "interval" | "exporter" | "interface", Template>;
  private readonly templates: readonly Template[];

  private readonly data = new Message(NETFLOW_V9);
  /** Templates and options have datagrams of their own: `data` is half full when they are due. */
  private readonly control = new Message(NETFLOW_V9);
  /** Of the records in `data`: their one boot time, the newest Last, and when the first came in. */
  private bootMs = 0;
  private newestMs = 0;
  private oldestUptimeMs = 0;
  private heldPackets = 0;
  private heldOctets = 0;

  /** Datagrams sent before the next one (RFC 3954 section 5.1). */
  nextSequence: number;
  /** The next datagram of records may have left before (`ExporterEnv.resume`). */
  private again: boolean;
  private readonly progress: Progress;
  private datagramsSinceTemplates = Infinity;
  private templatesAtMs = -Infinity;
  private interfacesAtMs = -Infinity;
  private lookedAtMs = -Infinity;
  /** What was last said of the ports. */
  private interfacesSaid = "";

  private sentRecords = 0;
  private packets = 0;
  private octets = 0;
  private sentDatagrams = 0;
  private sentBytes = 0;

  constructor(options: NetflowV9Options, env: ExporterEnv) {
    this.env = env;
    this.progress = new Progress(env);
    this.domain = options.sourceId;
    this.plain = options.profile === "nfdump";
    this.rate = options.sampling?.rate ?? 1;
    this.mode = options.sampling?.mode === "random" ? MODE_RANDOM : MODE_DETERMINISTIC;
    this.nextSequence = env.resume.sequence % TWO_32;
    this.again = env.resume.again === true;
    const [ipv4, ipv6, other] = FAMILIES.map((family) => flowFields(9, family, this.rate));
    this.fields = { ipv4: ipv4!, ipv6: ipv6!, other: other! };
    this.templates = numberTemplates([
      ...[ipv4!, ipv6!, other!].map((elements) => ({ elements })),
      SAMPLING_OPTIONS,
      INTERVAL_OPTIONS,
      EXPORTER_OPTIONS,
      this.plain ? INTERFACE_OPTIONS_NFDUMP : INTERFACE_OPTIONS,
    ]);
    const [flows4, flows6, flowsOther, sampling, interval, exporter, ports] = this.templates;
    this.flows = { ipv4: flows4!, ipv6: flows6!, other: flowsOther! };
    this.options = { sampling: sampling!, interval: interval!, exporter: exporter!, interface: ports! };
  }

  records(batch: RecordBatch, bridge: string, now: Moment): void {
    const place = this.progress.of(bridge, batch.first);
    for (let n = 0; n < batch.count; n++) {
      this.take(batch.at(n), now);
      place.taken = batch.first + n + 1;
    }
    const age = now.uptimeMs - this.oldestUptimeMs;
    if (!this.data.empty && (age >= FLUSH_AFTER_MS || age < 0)) this.send(now);
  }

  tick(now: Moment): void {
    this.again = false;
    this.repeat(now);
    const age = now.uptimeMs - this.oldestUptimeMs;
    if (!this.data.empty && (age >= FLUSH_AFTER_MS || age < 0)) this.send(now);
  }

  flush(now: Moment): void {
    if (!this.data.empty) this.send(now);
  }

  status(): ExporterStatus {
    const ids = FAMILIES.map((family) => `${family} ${this.flows[family].id}`);
    return {
      records: this.sentRecords,
      packets: this.packets,
      octets: this.octets,
      basis: "l3",
      notExportable: {},
      notExportableRecords: {},
      detail: [`source id ${this.domain}`, `next sequence ${this.nextSequence}`, `templates ${ids.join(", ")}`],
    };
  }

  async close(): Promise<void> {}

  private take(record: RecordCursor, now: Moment): void {
    // One header has one boot time: records from before the clock was set go by themselves.
    if (!this.data.empty && record.bootMs !== this.bootMs) this.send(now);
    const family = familyOf(record);
    const template = this.flows[family];
    let at = this.data.place(template.id, template.bytes);
    if (at < 0) {
      this.send(now);
      at = this.data.place(template.id, template.bytes);
    }
    if (this.data.dataRecords === 1) {
      this.bootMs = record.bootMs;
      this.newestMs = 0;
      this.oldestUptimeMs = now.uptimeMs;
    }
    writeFlow(this.fields[family], this.data.view, at, record);
    if (record.lastMs > this.newestMs) this.newestMs = record.lastMs;
    this.heldPackets += record.packets;
    this.heldOctets += record.l3Bytes;
  }

  /** Records of another boot time than the moment's are dated by their own clock, at its newest record. */
  private send(now: Moment): void {
    if (this.again) this.goBack(now);
    else this.repeat(now);
    this.progress.leave(this.nextSequence);
    const { data, bootMs, newestMs } = this;
    const sameBoot = Math.abs(now.unixMs - now.uptimeMs - bootMs) < 1;
    this.emit(data, bootMs, sameBoot ? Math.max(now.uptimeMs, newestMs) : newestMs);
    this.datagramsSinceTemplates++;
    this.sentRecords += data.dataRecords;
    this.packets += this.heldPackets;
    this.octets += this.heldOctets;
    this.heldPackets = this.heldOctets = 0;
    data.reset();
    // All that was taken has left.
    this.progress.commit(this.nextSequence);
  }

  /**
   * The header has whole seconds of Unix time but ms of SysUptime: it is dated at the next whole second, so that their
   * difference is the same boot time in every datagram, to the ms, and no Last is in the future.
   */
  private emit(message: Message, bootMs: number, uptimeMs: number): void {
    const boot = Math.floor(bootMs);
    const seconds = Math.max(0, Math.ceil((boot + Math.floor(uptimeMs)) / 1000));
    const bytes = message.finish(
      seconds,
      SYS_UPTIME_AT_BOOT_MS + seconds * 1000 - boot,
      this.nextSequence,
      this.domain,
    );
    for (const collector of this.env.collectors) collector.send(bytes);
    this.nextSequence = (this.nextSequence + 1) % TWO_32;
    this.sentDatagrams++;
    this.sentBytes += bytes.length;
  }

  /** Templates that did not leave, if the datagram did not: under the number of what went before it. */
  private goBack(now: Moment): void {
    this.again = false;
    this.nextSequence = (this.nextSequence + TWO_32 - 1) % TWO_32;
    this.sayTemplates(now);
  }

  private sayTemplates(now: Moment): void {
    for (const template of this.templates)
      if (!this.control.template(template)) throw new Error("netflow-v9: the templates do not fit into a datagram");
    this.sendControl(now);
  }

  /** Templates and options, where they are due. */
  private repeat(now: Moment): void {
    const waited = now.uptimeMs - this.templatesAtMs;
    if (this.datagramsSinceTemplates >= REPEAT_DATAGRAMS || waited >= REPEAT_MS || waited < 0) {
      this.datagramsSinceTemplates = 0;
      this.templatesAtMs = now.uptimeMs;
      this.sayTemplates(now);
      this.sayExporter(now);
      this.sendControl(now);
    }
    const looked = now.uptimeMs - this.lookedAtMs;
    if (looked < LOOK_MS && looked >= 0) return;
    this.lookedAtMs = now.uptimeMs;
    const ports = this.env.ports().filter(({ ifIndex }) => ifIndex > 0);
    const lines = ports.map(({ ifIndex, name, owner, device }) => {
      return { ifIndex, name, description: ownerText(owner) || (device ?? "") };
    });
    const said = JSON.stringify(lines);
    const age = now.uptimeMs - this.interfacesAtMs;
    if (said === this.interfacesSaid && age < REPEAT_MS && age >= 0) return;
    this.interfacesSaid = said;
    this.interfacesAtMs = now.uptimeMs;
    for (const line of lines) this.sayInterface(line, now);
    this.sendControl(now);
  }

  private sayExporter(now: Moment): void {
    const { sampling, interval, exporter } = this.options;
    const { view } = this.control;
    let at = this.placeControl(sampling, now);
    view.setUint32(at, this.domain);
    view.setUint8(at + 4, SAMPLER);
    view.setUint8(at + 5, this.mode);
    view.setUint32(at + 6, this.rate);
    at = this.placeControl(interval, now);
    view.setUint32(at, this.domain);
    view.setUint32(at + 4, this.rate);
    at = this.placeControl(exporter, now);
    view.setUint32(at, this.domain);
    setUint64(view, at + 4, this.sentBytes);
    setUint64(view, at + 12, this.sentDatagrams);
    setUint64(view, at + 20, this.sentRecords);
  }

  private sayInterface(line: { ifIndex: number; name: string; description: string }, now: Moment): void {
    const at = this.placeControl(this.options.interface, now);
    const { view } = this.control;
    view.setUint32(at, this.domain);
    view.setUint32(at + 4, line.ifIndex);
    if (this.plain) {
      setText(view, at + 8, INTERFACE_DESCRIPTION.bytes, `${line.name} ${line.description}`.trimEnd());
      return;
    }
    setText(view, at + 8, INTERFACE_NAME.bytes, line.name);
    setText(view, at + 8 + INTERFACE_NAME.bytes, INTERFACE_DESCRIPTION.bytes, line.description);
  }

  private placeControl(template: Template, now: Moment): number {
    const at = this.control.place(template.id, template.bytes);
    if (at >= 0) return at;
    this.sendControl(now);
    return this.control.place(template.id, template.bytes);
  }

  private sendControl(now: Moment): void {
    if (this.control.empty) return;
    this.emit(this.control, now.unixMs - now.uptimeMs + CLOCK_NOISE_MS, now.uptimeMs);
    this.control.reset();
  }
}
