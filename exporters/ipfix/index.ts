/**
 * IPFIX (RFC 7011): when a message leaves, what each collector has been told, what counts. Fields are those of
 * src/flow/elements.ts, bytes those of src/wire/template.ts; README.md has the table.
 */
import { ownerText } from "../../src/flow/attachment.ts";
import { FAMILIES, familyOf, flowFields, SAMPLER, writeFlow } from "../../src/flow/elements.ts";
import type { Family, FlowField } from "../../src/flow/elements.ts";
import type { RecordBatch, RecordCursor } from "../../src/shm/log.ts";
import type {
  Exporter,
  ExporterEnv,
  ExporterStatus,
  ExporterType,
  Moment,
  PortInfo,
  Transport,
} from "../../src/telemetry/exporter.ts";
import { Progress } from "../../src/telemetry/progress.ts";
import { IPFIX, Message, numberTemplates, setText, setUint64 } from "../../src/wire/template.ts";
import type { Template } from "../../src/wire/template.ts";
import {
  EXPORTER_OPTIONS,
  INTERFACE_OPTIONS_NFDUMP,
  interfaceOptions,
  INTERVAL_OPTIONS,
  RANDOM_N_OUT_OF_N,
  SAMPLING_OPTIONS,
  SYSTEMATIC_COUNT_BASED,
} from "./options.ts";
import { ipfixSchema } from "./schema.ts";
import type { IpfixOptions } from "./schema.ts";
import { streamsOf } from "./stream.ts";
import type { Stream } from "./stream.ts";

/** A message leaves at the first tick after this age, so with ticks four times a second within 1 s of its first record. */
export const FLUSH_AFTER_MS = 500;
/** Over UDP templates and options are said again after so many messages, or after this long: what comes first. */
export const REPEAT_MESSAGES = 20;
export const REPEAT_MS = 30_000;
/** Ports are compared with what was said of them this often. */
const LOOK_MS = 1000;

const TWO_32 = 4294967296;

const ipfix: ExporterType<IpfixOptions> = {
  schema: ipfixSchema,
  defaultPort: 4739,
  identity: (options) => `observation domain ${options.observationDomainId}`,
  source: (options) => options.source,
  transport: (options): Transport =>
    options.transport === "tls" ? { kind: "tls", ...options.tls } : { kind: options.transport },
  open: (options, env) => new Ipfix(options, env),
};

export default ipfix;

class Ipfix implements Exporter {
  private readonly env: ExporterEnv;
  private readonly options: IpfixOptions;
  private readonly rate: number;
  /** nfdump 1.7 counts no options in the sequence and knows one form of the interface table. */
  private readonly plain: boolean;
  private readonly fields: Record<Family, FlowField[]>;
  private readonly flows: Record<Family, Template>;
  private readonly about: Record<"sampling" | "interval" | "exporter" | "interface", Template>;
  private readonly templates: readonly Template[];

  /** Flow records. The same bytes go to every stream, under a header of its own. */
  private readonly data = new Message(IPFIX);
  /** Templates and options: messages of their own, because `data` is half full when they are due. */
  private readonly control = new Message(IPFIX);
  private readonly streams: readonly Stream[];
  private oldestUptimeMs = 0;
  private heldPackets = 0;
  private heldOctets = 0;

  private readonly progress: Progress;
  /** The next message of records may have left before (`ExporterEnv.resume`). */
  private again: boolean;
  private lookedAtMs = -Infinity;
  private interfaces: InterfaceLine[] = [];
  /** What is to be said of the ports, as one string: raised where it changes. */
  private interfacesText = "";
  private interfacesVersion = 0;

  private sentRecords = 0;
  private packets = 0;
  private octets = 0;

  constructor(options: IpfixOptions, env: ExporterEnv) {
    this.env = env;
    this.progress = new Progress(env);
    this.options = options;
    this.rate = options.sampling?.rate ?? 1;
    this.plain = options.profile === "nfdump";
    const [ipv4, ipv6, other] = FAMILIES.map((family) => flowFields(10, family, this.rate));
    this.fields = { ipv4: ipv4!, ipv6: ipv6!, other: other! };
    this.templates = numberTemplates([
      ...[ipv4!, ipv6!, other!].map((elements) => ({ elements })),
      SAMPLING_OPTIONS,
      INTERVAL_OPTIONS,
      EXPORTER_OPTIONS,
      this.plain ? INTERFACE_OPTIONS_NFDUMP : interfaceOptions(options.enterpriseNumber),
    ]);
    const [flows4, flows6, flowsOther, sampling, interval, exporter, ports] = this.templates;
    this.flows = { ipv4: flows4!, ipv6: flows6!, other: flowsOther! };
    this.about = { sampling: sampling!, interval: interval!, exporter: exporter!, interface: ports! };
    this.again = env.resume.again === true && options.transport === "udp";
    this.streams = streamsOf(env.collectors, options.transport, env.resume.sequence % TWO_32);
  }

  /** Of UDP, where it goes on after a restart; a connection begins at 0 (RFC 7011 section 3.1: it is a stream). */
  get nextSequence(): number {
    return this.options.transport === "udp" ? this.streams[0]!.sequence : 0;
  }

  records(batch: RecordBatch, bridge: string, now: Moment): void {
    const place = this.progress.of(bridge, batch.first);
    for (let n = 0; n < batch.count; n++) {
      this.take(batch.at(n), now);
      place.taken = batch.first + n + 1;
    }
    this.sendAged(now);
  }

  tick(now: Moment): void {
    this.again = false;
    this.prepare(now);
    this.sendAged(now);
  }

  flush(now: Moment): void {
    if (!this.data.empty) this.send(now);
  }

  status(): ExporterStatus {
    const ids = FAMILIES.map((family) => `${family} ${this.flows[family].id}`);
    const detail = [`observation domain ${this.options.observationDomainId}`, `${this.options.transport}`];
    for (const { sequence, senders, refusedRecords, repeats } of this.streams) {
      const to = this.streams.length > 1 ? ` to ${senders[0]!.stats.collector}` : "";
      detail.push(`next sequence ${sequence}${to}`);
      const why = repeats ? "its queue was full" : "no connection, or its queue was full";
      if (refusedRecords > 0) detail.push(`${refusedRecords} records not sent${to}: ${why}`);
    }
    detail.push(`templates ${ids.join(", ")}`);
    return {
      records: this.sentRecords,
      packets: this.packets,
      octets: this.octets,
      basis: "l3",
      notExportable: {},
      notExportableRecords: {},
      detail,
    };
  }

  async close(): Promise<void> {}

  private take(record: RecordCursor, now: Moment): void {
    const family = familyOf(record);
    const template = this.flows[family];
    let at = this.data.place(template.id, template.bytes);
    if (at < 0) {
      this.send(now);
      at = this.data.place(template.id, template.bytes);
    }
    if (this.data.dataRecords === 1) this.oldestUptimeMs = now.uptimeMs;
    writeFlow(this.fields[family], this.data.view, at, record);
    this.heldPackets += record.packets;
    this.heldOctets += record.l3Bytes;
  }

  private sendAged(now: Moment): void {
    const age = now.uptimeMs - this.oldestUptimeMs;
    if (!this.data.empty && (age >= FLUSH_AFTER_MS || age < 0)) this.send(now);
  }

  private send(now: Moment): void {
    const { data, streams } = this;
    // Templates count in no sequence; they did not leave, if the message did not.
    if (this.again) this.sayTemplates(streams[0]!, now);
    else this.prepare(now);
    this.again = false;
    this.progress.leave(this.nextSequence);
    for (const stream of streams) {
      this.emit(stream, data, now, this.heldPackets);
      stream.messagesSinceTemplates++;
    }
    this.sentRecords += data.dataRecords;
    this.packets += this.heldPackets;
    this.octets += this.heldOctets;
    this.heldPackets = this.heldOctets = 0;
    data.reset();
    // All that was taken has left.
    this.progress.commit(this.nextSequence);
  }

  /** Every stream is told what it has to know before the next records. */
  private prepare(now: Moment): void {
    const looked = now.uptimeMs - this.lookedAtMs;
    if (looked >= LOOK_MS || looked < 0) this.look(now);
    for (const stream of this.streams) {
      stream.renew();
      if (templatesDue(stream, now)) {
        stream.messagesSinceTemplates = 0;
        stream.templatesAtMs = now.uptimeMs;
        this.sayTemplates(stream, now);
        this.sayExporter(stream);
        this.sendControl(stream, now);
      }
      if (this.interfacesDue(stream, now)) this.sayInterfaces(stream, now);
    }
  }

  private sayTemplates(stream: Stream, now: Moment): void {
    for (const template of this.templates)
      if (!this.control.template(template)) throw new Error("ipfix: the templates do not fit into a message");
    this.sendControl(stream, now);
  }

  private sayExporter(stream: Stream): void {
    const { control, about, rate } = this;
    const { view } = control;
    let at = control.place(about.sampling.id, about.sampling.bytes);
    setUint64(view, at, SAMPLER);
    view.setUint16(at + 8, this.options.sampling?.mode === "random" ? RANDOM_N_OUT_OF_N : SYSTEMATIC_COUNT_BASED);
    [1, rate - 1, 1, rate].forEach((value, n) => view.setUint32(at + 10 + 4 * n, value));
    at = control.place(about.interval.id, about.interval.bytes);
    view.setUint32(at, this.options.observationDomainId);
    view.setUint32(at + 4, rate);
    at = control.place(about.exporter.id, about.exporter.bytes);
    view.setUint32(at, this.options.observationDomainId);
    const { sentBytes, sentMessages, sentRecords, refusedRecords, refusedPackets } = stream;
    [sentBytes, sentMessages, sentRecords, refusedRecords, refusedPackets].forEach((value, n) =>
      setUint64(view, at + 4 + 8 * n, value),
    );
  }

  private interfacesDue(stream: Stream, now: Moment): boolean {
    if (stream.interfacesVersion !== this.interfacesVersion) return true;
    const age = now.uptimeMs - stream.interfacesAtMs;
    return stream.repeats && (age >= REPEAT_MS || age < 0);
  }

  private sayInterfaces(stream: Stream, now: Moment): void {
    stream.interfacesVersion = this.interfacesVersion;
    stream.interfacesAtMs = now.uptimeMs;
    const { id, bytes, elements } = this.about.interface;
    for (const { ifIndex, texts } of this.interfaces) {
      let at = this.control.place(id, bytes);
      if (at < 0) {
        this.sendControl(stream, now);
        at = this.control.place(id, bytes);
      }
      if (this.plain) {
        this.control.view.setUint32(at, this.options.observationDomainId);
        at += 4;
      }
      this.control.view.setUint32(at, ifIndex);
      at += 4;
      texts.forEach((text, n) => {
        const room = elements[elements.length - texts.length + n]!.bytes;
        setText(this.control.view, at, room, text);
        at += room;
      });
    }
    this.sendControl(stream, now);
  }

  private sendControl(stream: Stream, now: Moment): void {
    if (this.control.empty) return;
    this.emit(stream, this.control, now, 0);
    this.control.reset();
  }

  /**
   * The sequence counts data records, those of options too, but no templates (RFC 7011 section 3.1). nfdump leaves out
   * the options, and would report errors.
   */
  private emit(stream: Stream, message: Message, now: Moment, packets: number): void {
    const seconds = Math.max(0, Math.floor(now.unixMs / 1000));
    const bytes = message.finish(seconds, 0, stream.sequence, this.options.observationDomainId);
    const isFlows = message === this.data;
    if (isFlows || !this.plain) stream.sequence = (stream.sequence + message.dataRecords) % TWO_32;
    stream.send(bytes, isFlows ? message.dataRecords : 0, packets);
  }

  /** Compare the ports with what was said of them. */
  private look(now: Moment): void {
    this.lookedAtMs = now.uptimeMs;
    const ports = this.env.ports().filter(({ ifIndex }) => ifIndex > 0);
    const text = JSON.stringify(ports.map(({ ifIndex, name, owner, device }) => [ifIndex, name, owner, device]));
    if (text === this.interfacesText) return;
    this.interfacesText = text;
    this.interfacesVersion++;
    this.interfaces = ports.map((port) => ({ ifIndex: port.ifIndex, texts: this.textsOf(port) }));
  }

  private textsOf({ name, owner, device }: PortInfo): string[] {
    const text = ownerText(owner) || (device ?? "");
    if (this.plain) return [`${name} ${text}`.trimEnd()];
    const texts = [name, text, owner?.vm ?? "", owner?.vmId ?? ""];
    if (this.options.enterpriseNumber !== undefined) texts.push(owner?.tenant ?? "");
    return texts;
  }
}

/** One record of the interface options: the number, and strings in the order of the template. */
interface InterfaceLine {
  readonly ifIndex: number;
  readonly texts: readonly string[];
}

function templatesDue(stream: Stream, now: Moment): boolean {
  if (!stream.toldTemplates) return true;
  if (!stream.repeats) return false;
  const waited = now.uptimeMs - stream.templatesAtMs;
  return stream.messagesSinceTemplates >= REPEAT_MESSAGES || waited >= REPEAT_MS || waited < 0;
}
