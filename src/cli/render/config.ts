/** The running configuration as YAML. A module of its own, that only `show config` loads. */
import { stringify } from "yaml";

export const renderConfig = (body: unknown): string[] => stringify(body).trimEnd().split("\n");
