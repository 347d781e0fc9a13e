/** InfluxDB 1.x: make the database and its retention policy, by the `influx` package, loaded when it is needed. */
import { readFileSync } from "node:fs";

export interface ControlOptions {
  readonly url: string;
  readonly database: string;
  /** Name of the retention policy, and how long it keeps: "30d". Absent: the server's default. */
  readonly policy?: { readonly name: string; readonly duration: string };
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** PEM file. */
  readonly ca?: string | undefined;
}

const TIMEOUT_MS = 5000;

/** Does nothing to what is there already. Rejects with the server's words. */
export async function createDatabase({ url, database, policy, username, password, ca }: ControlOptions): Promise<void> {
  const { InfluxDB } = await import("influx");
  const { hostname, port, protocol, pathname } = new URL(url);
  const isSecure = protocol === "https:";
  const client = new InfluxDB({
    hosts: [
      {
        host: hostname.replace(/^\[|\]$/g, ""),
        port: Number(port) || (isSecure ? 443 : 80),
        protocol: isSecure ? "https" : "http",
        path: pathname.replace(/\/$/, ""),
        ...(ca !== undefined && { options: { ca: readFileSync(ca) } }),
      },
    ],
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    pool: { maxRetries: 0, requestTimeout: TIMEOUT_MS },
  });
  await client.createDatabase(database);
  if (policy === undefined) return;
  const known = await client.showRetentionPolicies(database);
  if (known.some(({ name }) => name === policy.name)) return;
  await client.createRetentionPolicy(policy.name, {
    database,
    duration: policy.duration,
    replication: 1,
    isDefault: true,
  });
}
