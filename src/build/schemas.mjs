// The types of what the API takes and answers, and of the feed's messages, as JSON Schema: src/api/schemas.gen.ts. The
// compiler itself reads them, so that the document at /api/v1/openapi.json cannot say anything else than the types do.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./setup.mjs";

/** Every exported type of these files is a schema of its own. */
const FILES = ["src/bridge/views/json.ts", "src/api/bodies.ts", "src/api/problem.ts", "src/live/messages.ts"];

// ts.SymbolFlags and ts.TypeFlags
const TYPE = 0x40 | 0x80000; // Interface, TypeAlias
const ALIAS = 0x200000;
const OPTIONAL = 0x1000000;
const [ANY_OR_UNKNOWN, UNDEFINED, STRING, NUMBER, BOOLEAN] = [3, 4, 32, 64, 256];

export async function writeSchemas() {
  // Not above: on a fresh clone the compiler is not there yet when this file is read.
  const { API } = await import("typescript/unstable/sync");
  const config = join(root, "dist", "schemas.tsconfig.json");
  const files = FILES.map((file) => join(root, file));
  writeFileSync(config, JSON.stringify({ extends: join(root, "tsconfig.json"), files, include: [] }));
  const api = new API({ cwd: root });
  try {
    const [project] = api.updateSnapshot({ openProject: config }).getProjects();
    const schemas = schemasOf(project, files);
    const text = `// Written by src/build/schemas.mjs from the types; do not edit.\nexport const schemas: Readonly<Record<string, object>> = ${JSON.stringify(schemas, undefined, 1)};\n`;
    writeFileSync(join(root, "src/api/schemas.gen.ts"), text);
  } finally {
    api.close();
  }
}

function schemasOf({ checker, program }, files) {
  /** Type id → the name it is known by. */
  const names = new Map();
  const types = new Map();
  for (const file of files)
    for (const found of checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(file)))) {
      const symbol = found.flags & ALIAS ? checker.getAliasedSymbol(found) : found;
      if (!(symbol.flags & TYPE)) continue;
      const type = checker.getDeclaredTypeOfSymbol(symbol);
      types.set(found.name, { type, doc: symbol.getDocumentationComment(checker) });
      if (!names.has(type.id)) names.set(type.id, found.name);
    }

  const described = (schema, doc) => (doc === "" ? schema : { description: doc.replaceAll(/\s+/g, " "), ...schema });

  function object(type) {
    const properties = {};
    const required = [];
    for (const property of checker.getPropertiesOfType(type)) {
      const schema = schemaOf(checker.getTypeOfSymbol(property));
      properties[property.name] = described(schema, property.getDocumentationComment(checker));
      if (!(property.flags & OPTIONAL)) required.push(property.name);
    }
    const [index] = checker.getIndexInfosOfType(type);
    return {
      type: "object",
      ...(Object.keys(properties).length > 0 && { properties }),
      ...(required.length > 0 && { required }),
      ...(index !== undefined && { additionalProperties: schemaOf(index.valueType) }),
    };
  }

  function union(type) {
    const members = type.getTypes().filter(({ flags }) => !(flags & UNDEFINED));
    if (members.length === 1) return schemaOf(members[0]);
    if (members.every((member) => member.isBooleanLiteralType())) return { type: "boolean" };
    if (members.every((member) => member.isStringLiteralType()))
      return { type: "string", enum: members.map(({ value }) => value) };
    // `boolean | X` comes as true | false | X.
    const rest = members.filter((member) => !member.isBooleanLiteralType());
    const booleans = rest.length === members.length ? [] : [{ type: "boolean" }];
    return { anyOf: [...rest.map((member) => schemaOf(member)), ...booleans] };
  }

  function schemaOf(type, isRoot = false) {
    const name = names.get(type.id);
    if (!isRoot && name !== undefined && !(type.flags & (STRING | NUMBER | BOOLEAN)))
      return { $ref: `#/components/schemas/${name}` };
    if (type.flags & ANY_OR_UNKNOWN) return {};
    if (type.flags & STRING) return { type: "string" };
    if (type.flags & NUMBER) return { type: "number" };
    if (type.flags & BOOLEAN) return { type: "boolean" };
    if (type.isStringLiteralType() || type.isNumberLiteralType() || type.isBooleanLiteralType())
      return { const: type.value };
    if (type.isUnionType()) return union(type);
    if (checker.isArrayType(type)) return { type: "array", items: schemaOf(checker.getTypeArguments(type)[0]) };
    if (type.isObjectType() || type.isIntersectionType()) return object(type);
    throw new Error(`no schema for ${checker.typeToString(type)}`);
  }

  const all = [...types].map(([name, { type, doc }]) => [name, described(schemaOf(type, true), doc)]);
  return Object.fromEntries(all.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
