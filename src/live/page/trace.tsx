/** Why a frame goes where it goes: pasted as hex, built from fields, or that of a flow. Changes nothing, sends nothing. */
import { useEffect, useState } from "preact/hooks";
import type { TraceJson } from "../../bridge/views/json.ts";
import { trace } from "./api.ts";
import { typedFilter } from "./format.ts";
import { Fact, Facts, Name } from "./parts.tsx";
import { useLive } from "./store.ts";

export function TraceAnswer({ answer }: { answer: TraceJson }) {
  const refused = answer.disposition === "dropped";
  return (
    <div class="trace" role="status">
      <p class="frame">
        <bdi>{answer.frame}</bdi>
      </p>
      {answer.invented.length > 0 && <p class="sub">made up, because it was left open: {answer.invented.join(", ")}</p>}
      <ol>
        {answer.steps.map((step, i) => (
          <li key={i}>
            <b>{step.name}</b> <bdi>{step.text}</bdi> {step.verdict !== undefined && <em>→ {step.verdict}</em>}
          </li>
        ))}
      </ol>
      <p class={refused ? "verdict red" : "verdict"}>
        {refused ? `■ REFUSED ${answer.dropReason ?? ""}` : answer.disposition.toUpperCase()}
        {answer.output.length > 0 && (
          <>
            {" "}
            → <Name>{answer.output.join(", ")}</Name>
          </>
        )}
      </p>
      <Facts>
        <Fact name="looked at">{answer.lookedAt.join(", ") || "nothing"}</Fact>
        {answer.rule !== undefined && <Fact name="rule">{answer.rule}</Fact>}
        {answer.wouldMake.length > 0 && <Fact name="would make">{answer.wouldMake.join(" · ")}</Fact>}
        {answer.toAllow !== undefined && (
          <Fact name="to allow">
            <code>{answer.toAllow}</code>
          </Fact>
        )}
      </Facts>
      <p class="sub">Nothing was changed, nothing was sent.</p>
    </div>
  );
}

/** Asks at once where the question is whole. */
export function TraceOf({ question }: { question: Record<string, string> }) {
  const [answer, setAnswer] = useState<TraceJson | string>();
  const key = JSON.stringify(question);
  useEffect(() => {
    let gone = false;
    setAnswer(undefined);
    trace(question).then(
      (a) => !gone && setAnswer(a),
      (e: Error) => !gone && setAnswer(e.message),
    );
    return () => void (gone = true);
  }, [key]);
  if (answer === undefined) return <p class="sub">asking …</p>;
  return typeof answer === "string" ? (
    <p class="problem" role="alert">
      {answer}
    </p>
  ) : (
    <TraceAnswer answer={answer} />
  );
}

const FIELDS = ["vlan", "ethSrc", "ethDst", "ipSrc", "ipDst", "proto", "srcPort", "dstPort"] as const;

export function TraceForm() {
  const now = useLive();
  const [port, setPort] = useState("");
  const [hex, setHex] = useState("");
  const [fields, setFields] = useState<Record<string, string>>({});
  const [asked, setAsked] = useState<Record<string, string>>();
  const chosen = port || now.ports.map((p) => p.name).sort()[0] || "";
  const submit = (event: Event): void => {
    event.preventDefault();
    const frame = hex.replaceAll(/[\s:]|0x/g, "");
    const match = typedFilter(
      FIELDS.filter((f) => fields[f]?.trim())
        .map((f) => `${f}=${fields[f]!.trim()}`)
        .join(" "),
    );
    setAsked(frame === "" ? { port: chosen, match } : { port: chosen, frame });
  };
  return (
    <form class="form" onSubmit={submit}>
      <label>
        Comes in at port
        <select value={chosen} onChange={(e) => setPort(e.currentTarget.value)}>
          {now.ports
            .map((p) => p.name)
            .sort()
            .map((name) => (
              <option key={name} value={name}>
                {name.slice(0, 60)}
              </option>
            ))}
        </select>
      </label>
      <fieldset>
        <legend>Build a frame</legend>
        <div class="grid">
          {FIELDS.map((field) => (
            <label key={field}>
              {field}
              <input
                value={fields[field] ?? ""}
                autocomplete="off"
                spellcheck={false}
                onInput={(e) => setFields({ ...fields, [field]: e.currentTarget.value })}
              />
            </label>
          ))}
        </div>
      </fieldset>
      <label>
        or paste one, hex
        <textarea
          rows={3}
          value={hex}
          spellcheck={false}
          placeholder="52 54 00 …"
          onInput={(e) => setHex(e.currentTarget.value)}
        />
      </label>
      <button class="primary" type="submit">
        Trace
      </button>
      {asked !== undefined && <TraceOf question={asked} />}
    </form>
  );
}
