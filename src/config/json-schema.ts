/** The JSON Schema of configuration files, for editors: `weir schema`, committed as config/weir.schema.json. */
import * as z from "zod";
import type { Registries } from "./check.ts";
import { configSchema, exporterCommon, portCommon } from "./schema.ts";

type Json = Record<string, any>;

function convert(schema: z.ZodType): Json {
  const json = z.toJSONSchema(schema, { target: "draft-07", io: "input", unrepresentable: "any" }) as Json;
  delete json.$schema;
  return json;
}

/** An entry of one type: the keys that all have, and its own. */
function entry(type: string, common: z.ZodObject, schema: z.ZodType): Json {
  const shared = convert(common);
  const own = convert(schema);
  const properties = { ...shared.properties, type: { const: type } };
  const required = ["type", ...((shared.required as string[] | undefined) ?? []).filter((key) => key !== "type")];
  if (own.type !== "object" || !own.properties) return { type: "object", properties, required, allOf: [own] };
  return {
    type: "object",
    properties: { ...properties, ...own.properties },
    required: [...required, ...((own.required as string[] | undefined) ?? [])],
    additionalProperties: false,
  };
}

async function entries<T extends { readonly schema: z.ZodType }>(
  common: z.ZodObject,
  types: Readonly<Record<string, () => Promise<T>>>,
): Promise<Json> {
  const kinds: Json[] = [];
  for (const name of Object.keys(types).sort()) kinds.push(entry(name, common, (await types[name]!()).schema));
  return kinds.length ? { anyOf: kinds } : {};
}

/** JSON Schema draft 7: what editors speak. */
export async function configJsonSchema(registries: Registries): Promise<Json> {
  const json = convert(configSchema({ name: "", stateDir: "/var/lib/weir", socket: "/run/weir/weir.sock" }));
  // The default is the host's own name, whatever that is.
  delete json.properties.host.properties.name.default;
  json.properties.bridges.items.properties.ports.items = await entries(portCommon, registries.portTypes);
  json.properties.exporters.items = await entries(exporterCommon, registries.exporterTypes);
  return { $schema: "http://json-schema.org/draft-07/schema#", title: "Weir configuration", ...json };
}
