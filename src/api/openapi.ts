/** The OpenAPI document: the table of routes and the schemas of the types, put together when somebody asks. */
import type { Route } from "./routes.ts";
import { schemas } from "./schemas.gen.ts";

const QUERY: Readonly<Record<string, readonly [type: string, text: string]>> = {
  where: ["string", "the filter language: `tenant=acme proto=tcp dropped`; the keys are those of the items"],
  sort: ["string", "a key of the items, `-` before it for the largest first"],
  limit: ["integer", "most items; 0 streams all, one JSON object a line (application/x-ndjson)"],
  name: ["string", "only these, separated by commas"],
  since: ["string", "a window, `60s`, `1h`, or `start`"],
  all: ["boolean", "with what is expected"],
  kind: ["string", "kinds of events, separated by commas"],
  follow: ["boolean", "stream what comes, one JSON object a line"],
  names: ["string", "`ovs`: the names of ovs_exporter"],
};

const ref = (name: string): object => ({ $ref: `#/components/schemas/${name}` });

/** The schema of an answer's JSON; undefined: it is none. */
export function answerSchema({ answer }: Pick<Route, "answer">): object | undefined {
  if (typeof answer === "string") return ref(answer);
  if ("media" in answer) return undefined;
  // Beside the list stands what the type of `extra` says.
  const extra = (answer.extra === undefined ? {} : schemas[answer.extra]) as {
    properties?: object;
    required?: string[];
  };
  return {
    type: "object",
    properties: {
      at: { type: "string", format: "date-time" },
      total: { type: "integer", description: "how many matched, before the limit" },
      items: { type: "array", items: ref(answer.list) },
      ...extra.properties,
    },
    required: ["at", "total", "items", ...(extra.required ?? [])],
  };
}

function operation(route: Route): object {
  const inPath = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => {
    return { name, in: "path", required: true, schema: { type: "string" } };
  });
  const inQuery = (route.query ?? []).map((name) => {
    const [type, description] = QUERY[name]!;
    return { name, in: "query", description, schema: { type } };
  });
  const schema = answerSchema(route);
  const content =
    schema !== undefined
      ? { "application/json": { schema } }
      : { [(route.answer as { media: string }).media]: { schema: { type: "string" } } };
  const isNothing = "none" in content;
  return {
    summary: route.summary,
    "x-role": route.role,
    ...(route.role === "operator" && { security: [{ token: [] }] }),
    parameters: [...inPath, ...inQuery],
    ...(route.body !== undefined && {
      requestBody: { required: true, content: { "application/json": { schema: ref(route.body) } } },
    }),
    responses: {
      ...(isNothing ? { 204: { description: "done" } } : { 200: { description: "the answer", content } }),
      default: {
        description: "why not (RFC 9457)",
        content: { "application/problem+json": { schema: ref("ProblemBody") } },
      },
    },
  };
}

export function openapi(routes: readonly Route[], version: string): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) (paths[route.path] ??= {})[route.method.toLowerCase()] = operation(route);
  paths["/live"] = {
    get: {
      summary: "the feed: a websocket of ClientMessage and ServerMessage (src/live/README.md)",
      "x-role": "viewer",
      responses: { 101: { description: "the feed" } },
    },
  };
  return {
    openapi: "3.1.0",
    info: {
      title: "Weir",
      version,
      description:
        "Over TCP a request is `viewer`, with a token its role; on the Unix socket it is `operator`. Counters are integers with all their digits; …Ms is Unix time in ms; …Pps and …Bps are packets and bits per second.",
    },
    paths,
    components: {
      securitySchemes: { token: { type: "http", scheme: "bearer" } },
      schemas,
    },
  };
}
