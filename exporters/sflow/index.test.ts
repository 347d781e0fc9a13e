/** The policy: sequences, sources, outputs, limits, polling, flush. The bytes are checked by tshark in tshark.test.ts. */
import { exporterConformance } from "../../test/conformance/exporter.ts";
import sflow from "./index.ts";
import { PROFILE_NAMES } from "./profiles.ts";

for (const profile of PROFILE_NAMES) exporterConformance(`sflow ${profile}`, sflow, { profile });
